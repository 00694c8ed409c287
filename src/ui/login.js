// Signing in; `?next=` is the page to go on with.

import { sendTo } from "/ui/form.js";

sendTo("/api/login");

// Where nobody can sign in yet, the first administrator is to be made.
const reply = await fetch("/api/").catch(() => null);
if (reply?.status === 401 && reply.headers.get("Content-Type") === "application/json") {
  const { setup } = await reply.json();
  if (setup) location.replace("/ui/setup.html");
}
