// The environment variables that the operator has granted, secrets among them.

import { getEnvironment } from 'wasi:cli/environment@0.2.0';

/** All variables. They don't change while the task runs. */
export function variables() {
  return Object.fromEntries(getEnvironment());
}

/** The value of a variable; undefined if it is not granted. */
export function variable(name) {
  return getEnvironment().find(([key]) => key === name)?.[1];
}
