// What a reader can meet, in the words of `ncipher`: neuralcipher/errors.py.

export class Problem extends Error {
  // kind: the class in errors.py. message: one sentence without a full stop. hint: what to do, or "".
  constructor(kind, message, hint = "") {
    super(message);
    this.name = "Problem";
    this.kind = kind;
    this.hint = hint;
  }
}

export const COPY_HINT = "fetch the file again from where it came from";

export const notABundle = (message, hint) => new Problem("NotABundleError", message, hint);
export const unsupported = (message, hint) => new Problem("UnsupportedError", message, hint);
export const overLimit = (message, hint = COPY_HINT) => new Problem("LimitError", message, hint);
export const truncated = (message, hint = COPY_HINT) => new Problem("TruncatedError", message, hint);
export const headerDamaged = (message, hint = COPY_HINT) => new Problem("HeaderDamagedError", message, hint);
export const payloadDamaged = (message, hint = COPY_HINT) => new Problem("PayloadDamagedError", message, hint);
export const wrongKey = (message, hint) => new Problem("WrongKeyError", message, hint);
export const keyFile = (message, hint) => new Problem("KeyFileError", message, hint);
export const usage = (message, hint) => new Problem("UsageError", message, hint);
