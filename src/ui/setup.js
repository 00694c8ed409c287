// The first administrator.

import { sendTo, tell } from "/ui/form.js";

const password = document.getElementById("password");
const again = document.getElementById("again");

sendTo("/api/setup", () => {
  if (password.value === again.value) return true;
  tell("The two passwords differ.");
  again.focus();
  return false;
});
