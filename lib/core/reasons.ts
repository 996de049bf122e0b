/**
 * Values of Reason as they may stand in one request: several only with different protocols, of each the first (RFC 3326 2,
 * EDGE-RSN-03).
 */
export function oneOfEachProtocol(reasons: readonly string[]): readonly string[] {
  const known = new Set<string>();
  return reasons.filter((reason) => {
    const protocol = (reason.split(';', 1)[0] ?? '').trim().toLowerCase();
    if (known.has(protocol)) return false;
    known.add(protocol);
    return true;
  });
}
