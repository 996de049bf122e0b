/** Requirements nobody has shown to be met over sockets, each with the reason; docs/conformance.md prints them. */
export const notYet: Readonly<Record<string, string>> = {};
