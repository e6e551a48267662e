// The environment variables that the operator has granted: `[grants.env]`, `[grants.secrets]`.

/** All variables. They don't change while the task runs. */
export function variables(): Record<string, string>;

/** The value of a variable; undefined if it is not granted. */
export function variable(name: string): string | undefined;
