/** How a check of several keys together reports what is wrong with them. */

export interface CheckContext {
  readonly value: unknown;
  readonly issues: { push(issue: never): unknown };
}

/** Reports what only several keys together can tell; load.ts turns `params` into the sentence. */
export function mistake(
  context: CheckContext,
  path: readonly (string | number)[],
  expected: string,
  found: string,
): void {
  context.issues.push({ code: 'custom', message: expected, path, input: undefined, params: { found } } as never);
}
