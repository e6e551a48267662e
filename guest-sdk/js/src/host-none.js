// Outside of a component there is no host; tests provide their own.

export const host = undefined;
