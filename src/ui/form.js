// What the forms for signing in and for the first administrator have in common: sending a name and a
// password, and telling what is wrong.

const form = document.getElementById("form");
const send = document.getElementById("send");
const trouble = document.getElementById("trouble");

/** Shows a sentence, or nothing. */
export function tell(sentence) {
  trouble.textContent = sentence;
  trouble.hidden = sentence === "";
}

/** What the recorder says of a refusal, with how long to wait if it says so. */
async function refusal(reply) {
  const sentence = (await reply.text()).trim();
  const seconds = Number(reply.headers.get("Retry-After"));
  const wait = seconds > 0 ? ` (${seconds} s)` : "";
  return sentence === "" ? `The recorder refuses: ${reply.status}.` : `${sentence[0].toUpperCase()}${sentence.slice(1)}${wait}.`;
}

/** The page to go on with: one of this site's, or the first. */
function next() {
  const start = new URL("/", location.href);
  const wanted = new URLSearchParams(location.search).get("next");
  const to = wanted !== null && URL.canParse(wanted, start) ? new URL(wanted, start) : start;
  return to.origin === start.origin ? to.href : start.href;
}

async function post(path) {
  tell("");
  send.disabled = true;
  try {
    const reply = await fetch(path, {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify({ username: form.elements.username.value, password: form.elements.password.value }),
    });
    if (reply.ok) {
      location.replace(next());
      return;
    }
    tell(await refusal(reply));
  } catch {
    tell("The recorder does not answer. Try again in a little while.");
  }
  send.disabled = false;
  form.elements.password.focus();
}

/** Sends the form to `path` whenever `isGood` says so. */
export function sendTo(path, isGood = () => true) {
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    if (isGood()) post(path);
  });
}
