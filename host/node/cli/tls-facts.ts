// What a TLS handshake has settled, in the words of the native command.
import type { X509Certificate } from "node:crypto";
import type { Duplex } from "node:stream";
import { TLSSocket } from "node:tls";

import type { diagnosis } from "../src/engine.js";

const DAY = 86_400_000;

/** Undefined for a connection without TLS. */
export function factsOf(socket: Duplex): diagnosis.Tls | undefined {
  if (!(socket instanceof TLSSocket)) return undefined;
  const version = (socket.getProtocol() ?? "").replace(/^TLSv/, "TLS ");
  const suite = socket.getCipher().standardName;
  const { alpnProtocol } = socket;
  return {
    version,
    ...(typeof alpnProtocol === "string" && { alpn: alpnProtocol }),
    // As rustls calls those of TLS 1.3.
    cipherSuite: version === "TLS 1.3" ? suite.replace(/^TLS_/, "TLS13_") : suite,
    ...certificateOf(socket.getPeerX509Certificate()),
  };
}

function certificateOf(certificate: X509Certificate | undefined): Partial<diagnosis.Tls> {
  if (!certificate) return {};
  const end = new Date(certificate.validTo);
  return {
    subject: distinguished(certificate.subject),
    issuer: distinguished(certificate.issuer),
    notAfter: end.toISOString().replace(".000Z", "Z"),
    daysLeft: BigInt(Math.floor((end.getTime() - Date.now()) / DAY)),
  };
}

/** A name as RFC 4514 writes it, from what has a line for each part, in the order of the certificate. */
function distinguished(lines: string): string {
  return lines.split("\n").reverse().join(",");
}
