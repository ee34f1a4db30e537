// TLS as the system wants it: its certificate authorities, loaded at the first handshake, and those of the command line.
import { createPrivateKey, X509Certificate } from "node:crypto";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { isIP } from "node:net";
import { join } from "node:path";
import type { Duplex } from "node:stream";
import tls, { type PeerCertificate, type SecureContext, type TLSSocket } from "node:tls";

import { HTTP_2_ONLY, NO_PROTOCOL } from "../src/failure.js";
import { Refused } from "./duration.js";
import type { Lookup } from "./expand.js";
import { readFile } from "./file.js";

/** What the command line says. */
export interface TlsArgs {
  caCerts: string[];
  clientCert?: string | undefined;
  clientKey?: string | undefined;
}

const PEM = /-----BEGIN CERTIFICATE-----[\s\S]*?-----END CERTIFICATE-----/g;

/** Where the systems that have such a file keep their authorities. */
const SYSTEM_FILES = [
  "/etc/ssl/certs/ca-certificates.crt",
  "/etc/pki/tls/certs/ca-bundle.crt",
  "/etc/ssl/ca-bundle.pem",
  "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
  "/etc/ssl/cert.pem",
];

/** Why a handshake failed, for people. */
export class TlsFailure extends Error {}

/** Makes secure connections. */
export class Tls {
  /** Whether there is a certificate for servers that want one. */
  readonly hasIdentity: boolean;
  readonly #lookup: Lookup;
  readonly #extra: string[];
  readonly #identity: { cert?: string; key?: string } = {};
  #context: SecureContext | undefined;

  /** Reads the files. Throws `Refused` with what is wrong with them. */
  constructor({ caCerts, clientCert, clientKey }: TlsArgs, lookup: Lookup) {
    this.#lookup = lookup;
    this.#extra = caCerts.flatMap((path) => {
      const pem = readFile("--ca-cert", path);
      return within("--ca-cert", path, () => certificates(pem, "the CA certificate file"));
    });
    if (clientCert === undefined && clientKey !== undefined) {
      throw new Refused("--client-key needs --client-cert, the certificate that it belongs to");
    }
    if (clientCert !== undefined) {
      const cert = readFile("--client-cert", clientCert);
      const key = clientKey === undefined ? cert : readFile("--client-key", clientKey);
      this.#identity = within("--client-cert", clientCert, () => identity(cert, key));
    }
    this.hasIdentity = clientCert !== undefined;
  }

  /** A handshake over a connection. Rejects with a `TlsFailure`, or with another error if the connection broke. */
  async secure(socket: Duplex, host: string): Promise<TLSSocket> {
    const secureContext = (this.#context ??= this.#newContext());
    const secured = tls.connect({
      socket,
      host,
      // RFC 6066 § 3: no addresses.
      ...(isIP(host) === 0 && { servername: host }),
      secureContext,
      ALPNProtocols: ["http/1.1"],
      // Judged below, before anybody can use the connection, and in better words.
      rejectUnauthorized: false,
    });
    return new Promise((resolve, reject) => {
      const failed = (error: Error) => {
        secured.destroy();
        reject(error);
      };
      const broken = (error: NodeJS.ErrnoException) => failed(handshakeFailure(error, this.hasIdentity) ?? error);
      const closed = () => failed(new Error("closed"));
      secured.once("error", broken).once("close", closed);
      secured.once("secureConnect", () => {
        secured.off("error", broken).off("close", closed);
        if (secured.authorized) return resolve(secured);
        // Nobody listens any more.
        secured.on("error", () => {});
        failed(
          new TlsFailure(`the server's certificate ${verdict(String(secured.authorizationError), secured.getPeerCertificate(), host)}`),
        );
      });
    });
  }

  #newContext(): SecureContext {
    const ca = [...authorities(this.#lookup), ...this.#extra];
    if (ca.length === 0) throw new TlsFailure("there is no certificate authority here; set --ca-cert or SSL_CERT_FILE");
    return tls.createSecureContext({ ca, ...this.#identity });
  }
}

function within<T>(option: string, path: string, action: () => T): T {
  try {
    return action();
  } catch (error) {
    throw error instanceof Refused ? new Refused(`${option} ${path}: ${error.message}`) : error;
  }
}

function certificates(pem: string, what: string): string[] {
  const all = pem.match(PEM) ?? [];
  if (all.length === 0 && !pem.includes("-----BEGIN CERTIFICATE-----")) {
    throw new Refused(`${what} holds no certificate in PEM; a binary one is turned into PEM by: openssl x509 -inform der`);
  }
  try {
    if (all.length === 0) throw new Error("no end");
    for (const one of all) new X509Certificate(one);
  } catch {
    // What the error repeats of the file may be a key.
    throw new Refused(`${what} is not valid PEM`);
  }
  return all;
}

function identity(cert: string, key: string): { cert: string; key: string } {
  const [own] = certificates(cert, "the client certificate's file");
  if (/BEGIN ENCRYPTED PRIVATE KEY|Proc-Type: 4,ENCRYPTED/.test(key)) {
    throw new Refused(
      "the client certificate's key is encrypted, which is not supported; " +
        "write it unencrypted into a file that only you can read: openssl pkey -in KEY -out PLAINKEY",
    );
  }
  let privateKey;
  try {
    privateKey = createPrivateKey(key);
  } catch {
    throw new Refused("there is no private key in PEM for the client certificate, neither in its own file nor in a key's");
  }
  if (!new X509Certificate(own!).checkPrivateKey(privateKey))
    throw new Refused("the private key does not belong to the client certificate");
  return { cert, key };
}

/** The authorities of the environment, else of the system, else those that Node brings. */
function authorities(lookup: Lookup): string[] {
  const file = lookup("SSL_CERT_FILE");
  const folder = lookup("SSL_CERT_DIR");
  if (file !== undefined || folder !== undefined) return [...pems(file), ...inFolder(folder)];
  const { getCACertificates } = tls as { getCACertificates?: (kind: "system") => string[] };
  const found = SYSTEM_FILES.find((path) => existsSync(path));
  const system = found ? pems(found) : (getCACertificates?.("system") ?? []);
  return [...(system.length > 0 ? system : tls.rootCertificates), ...pems(lookup("NODE_EXTRA_CA_CERTS"))];
}

function pems(path: string | undefined): string[] {
  try {
    return path === undefined ? [] : (readFileSync(path, "utf8").match(PEM) ?? []);
  } catch {
    return [];
  }
}

function inFolder(folder: string | undefined): string[] {
  try {
    return folder === undefined ? [] : readdirSync(folder).flatMap((name) => pems(join(folder, name)));
  } catch {
    return [];
  }
}

/** What OpenSSL says of a certificate, as the native command says it. */
function verdict(code: string, certificate: PeerCertificate, host: string): string {
  switch (code) {
    case "CERT_HAS_EXPIRED":
      return `expired at ${time(certificate.valid_to)}`;
    case "CERT_NOT_YET_VALID":
      return `is not valid before ${time(certificate.valid_from)}; is this machine's clock right?`;
    case "ERR_TLS_CERT_ALTNAME_INVALID":
      return `is not for ${host} but for ${names(certificate)}`;
    case "DEPTH_ZERO_SELF_SIGNED_CERT":
      return "is its own authority; if it is yours, give this certificate with --ca-cert";
    case "SELF_SIGNED_CERT_IN_CHAIN":
    case "UNABLE_TO_GET_ISSUER_CERT":
    case "UNABLE_TO_GET_ISSUER_CERT_LOCALLY":
    case "UNABLE_TO_VERIFY_LEAF_SIGNATURE":
      return "has an issuer that is not trusted here; if it is yours, give its certificate with --ca-cert";
    case "CERT_REVOKED":
      return "has been revoked";
    default:
      return `was not accepted: ${code}`;
  }
}

/** The most names of a certificate that are shown. */
const NAMES = 5;

function names({ subjectaltname = "" }: PeerCertificate): string {
  const all = subjectaltname
    .split(", ")
    .map((name) => name.slice(name.indexOf(":") + 1))
    .filter(Boolean);
  if (all.length === 0) return "no name at all";
  return all.slice(0, NAMES).join(", ") + (all.length > NAMES ? ` and ${all.length - NAMES} more` : "");
}

/** A certificate's date to the minute, in UTC. */
function time(text: string): string {
  return `${new Date(text).toISOString().slice(0, 16).replace("T", " ")} UTC`;
}

/** The alerts by which a server refuses what the client is. In TLS 1.3 they come after the client's part of the handshake. */
const IDENTITY =
  /alert[ _](access[ _]denied|bad[ _]certificate|certificate[ _](expired|required|revoked|unknown)|no[ _]certificate|unknown[ _]ca|unsupported[ _]certificate)/i;

/** Why the server refused the client's certificate, or its absence, and so read no request. Undefined: it did not. */
export function identityFailure({ code = "", message }: NodeJS.ErrnoException, hasIdentity: boolean): TlsFailure | undefined {
  const [, alert] = IDENTITY.exec(`${code} ${message}`) ?? [];
  if (!alert) return undefined;
  if (!hasIdentity || /required/i.test(alert))
    return new TlsFailure("the server demands a client certificate; give one with --client-cert");
  return new TlsFailure(
    `the server does not accept the client certificate (${alert.toLowerCase().replaceAll("_", " ")}); check --client-cert`,
  );
}

function handshakeFailure(error: NodeJS.ErrnoException, hasIdentity: boolean): TlsFailure | undefined {
  const text = `${error.code} ${error.message}`;
  if (/wrong[ _]version[ _]number|packet[ _]length[ _]too[ _]long|record[ _]layer[ _]failure|unexpected[ _]message/i.test(text)) {
    return new TlsFailure("the server does not speak TLS at this port; perhaps its URL begins with http://");
  }
  if (/alert[ _]handshake[ _]failure/i.test(text)) {
    const perhaps = hasIdentity ? "" : "; perhaps the server demands a client certificate, give one with --client-cert";
    return new TlsFailure(`the server refused the handshake${perhaps}`);
  }
  if (NO_PROTOCOL.test(text)) return new TlsFailure(HTTP_2_ONLY);
  if (/unrecognized[ _]name/i.test(text)) return new TlsFailure("the server knows no host of the URL's name");
  if (/protocol[ _]version|unsupported[ _]protocol/i.test(text)) return new TlsFailure("the server speaks TLS older than 1.2 only");
  const refused = identityFailure(error, hasIdentity);
  if (refused) return refused;
  return /EPROTO|ERR_SSL_/.test(text) ? new TlsFailure(`the TLS handshake failed: ${error.code}`) : undefined;
}
