// Security keys (WebAuthn): what the server asks goes to the browser, and its answer back, as JSON.

/** Whether this browser can use keys; older ones cannot read the server's options. */
export function supported() {
  return typeof window.PublicKeyCredential?.parseRequestOptionsFromJSON === "function";
}

/** Make a key for these options. */
export async function make(options) {
  const publicKey = PublicKeyCredential.parseCreationOptionsFromJSON(options);
  return answered(() => navigator.credentials.create({ publicKey }));
}

/** Let a key that the person has sign. */
export async function sign(options) {
  const publicKey = PublicKeyCredential.parseRequestOptionsFromJSON(options);
  return answered(() => navigator.credentials.get({ publicKey }));
}

async function answered(ask) {
  try {
    return (await ask()).toJSON();
  } catch (cause) {
    const known = cause.name === "InvalidStateError";
    throw new Error(known
      ? "This key is set up already."
      : "The key did not answer, or it is none of yours. Try again, or use a code.", { cause });
  }
}
