/** Values that stand twice in a list, with the place of the later one. */
export function repeated(values: readonly string[]): [number, string][] {
  return values.flatMap((value, at): [number, string][] => (values.indexOf(value) < at ? [[at, value]] : []));
}
