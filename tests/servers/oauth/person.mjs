// A person with a browser: opens a URL, follows redirects, keeps cookies, and sends each form that comes with a name and a
// password filled in. The last page's status is the exit code's matter: 0 below 400.
//
//   node person.mjs URL [code to enter]
const [start, code] = process.argv.slice(2);
const jars = new Map();

function unescape(text) {
  return text.replace(/&amp;/g, "&").replace(/&quot;/g, '"').replace(/&#39;/g, "'").replace(/&lt;/g, "<");
}

async function visit(url, form) {
  const jar = jars.get(url.origin) ?? jars.set(url.origin, new Map()).get(url.origin);
  const headers = { cookie: [...jar].map((pair) => pair.join("=")).join("; ") };
  const response = await fetch(url, {
    redirect: "manual",
    headers,
    ...(form && { method: "POST", body: new URLSearchParams(form) }),
  });
  for (const cookie of response.headers.getSetCookie()) {
    const [name, value] = cookie.split(";")[0].split(/=(.*)/s);
    jar.set(name, value);
  }
  return response;
}

let url = new URL(start);
let form;
for (let step = 0; step < 30; step += 1) {
  const response = await visit(url, form);
  form = undefined;
  const location = response.headers.get("location");
  if (location) {
    url = new URL(location, url);
    continue;
  }
  const page = await response.text();
  const found = /<form[^>]*action="([^"]*)"[^>]*>([\s\S]*?)<\/form>/.exec(page);
  if (!found || response.status >= 400) {
    console.log(response.status, page.replace(/<[^>]*>/g, " ").replace(/\s+/g, " ").slice(0, 500));
    process.exit(response.status < 400 ? 0 : 1);
  }
  form = {};
  for (const [input] of found[2].matchAll(/<input[^>]*>/g)) {
    const attribute = (name) => new RegExp(`\\b${name}="([^"]*)"`).exec(input)?.[1];
    const name = attribute("name");
    if (name) form[name] = unescape(attribute("value") ?? "");
    if (name === "login" || name === "password") form[name] = "somebody";
    if (name === "user_code" && code) form[name] = code;
  }
  // The button that says yes.
  if (/name="confirm"/.test(page)) form.confirm = "yes";
  url = new URL(unescape(found[1]), url);
}
console.error("too many steps");
process.exit(1);
