// Outside of a component there is no host: tests bring one of their own.

export const host = undefined;
