// What needs a fresh proof of the person is asked for, and then done again.

import { ApiError, get, post } from "./api.js";
import { refresh } from "./session.js";

const dialog = document.querySelector("#proof");

/** Do it; where the server wants a fresh proof, ask for one and do it again. Null when that was given up. */
export async function careful(action) {
  try {
    return await action();
  } catch (error) {
    if (!(error instanceof ApiError) || error.code !== "STEP_UP_NEEDED") throw error;
  }
  if (!await proved()) return null;
  await refresh({ force: true });
  return action();
}

async function proved() {
  const { step_up_with: kind } = await get("/api/v1/auth/factors");
  const input = dialog.querySelector("input");
  const form = dialog.querySelector("form");
  dialog.querySelector("label").textContent = kind === "code" ? "Code of your authenticator app, or a recovery code" : "Your password";
  input.type = kind === "code" ? "text" : "password";
  input.autocomplete = kind === "code" ? "one-time-code" : "current-password";
  input.value = "";
  problem("");
  dialog.showModal();
  return new Promise((resolve) => {
    form.onsubmit = async (event) => {
      event.preventDefault();
      const value = input.value;
      input.value = "";
      try {
        await post("/api/v1/auth/step-up", { [kind]: value });
        resolve(true);
        dialog.close();
      } catch (error) {
        problem([error.message, error.remedy].filter(Boolean).join(" "));
      }
    };
    dialog.onclose = () => resolve(false);
    dialog.querySelector("[data-cancel]").onclick = () => dialog.close();
  });
}

function problem(text) {
  const line = dialog.querySelector(".problem");
  line.textContent = text;
  line.hidden = !text;
}
