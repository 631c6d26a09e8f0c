// What needs a fresh proof of the person is asked for, and then done again.

import { ApiError, get, post } from "./api.js";
import { sign, supported } from "./security_keys.js";
import { refresh } from "./session.js";

const dialog = document.querySelector("#proof");
const useKey = document.querySelector("#proof-key");

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
  const { step_up_with: kind, security_keys: keys, keys_for: here } = await get("/api/v1/auth/factors");
  useKey.hidden = !supported() || !keys.some(({ host }) => host === here);
  const input = dialog.querySelector("input");
  const form = dialog.querySelector("form");
  dialog.querySelector("label").textContent = kind === "code" ? "Code of your authenticator app, or a recovery code" : "Your password";
  input.type = kind === "code" ? "text" : "password";
  input.autocomplete = kind === "code" ? "one-time-code" : "current-password";
  input.value = "";
  problem("");
  dialog.showModal();
  return new Promise((resolve) => {
    const prove = async (proof) => {
      try {
        await post("/api/v1/auth/step-up", await proof());
        resolve(true);
        dialog.close();
      } catch (error) {
        problem([error.message, error.remedy].filter(Boolean).join(" "));
      }
    };
    form.onsubmit = (event) => {
      event.preventDefault();
      const value = input.value;
      input.value = "";
      return prove(() => ({ [kind]: value }));
    };
    useKey.onclick = () => prove(async () => ({ key: await sign(await post("/api/v1/auth/step-up/key")) }));
    dialog.onclose = () => resolve(false);
    dialog.querySelector("[data-cancel]").onclick = () => dialog.close();
  });
}

function problem(text) {
  const line = dialog.querySelector(".problem");
  line.textContent = text;
  line.hidden = !text;
}
