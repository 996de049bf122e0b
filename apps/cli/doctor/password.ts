/** Passwords come by the environment: arguments are seen by everybody on the machine. */

/** `variable`: its name. Undefined: it is not set. */
export function passwordIn(variable: string): string | undefined {
  const value = process.env[variable];
  return value === undefined || value === '' ? undefined : value;
}
