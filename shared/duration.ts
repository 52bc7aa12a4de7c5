const UNITS = { ms: 1, s: 1000, m: 60_000, h: 3600_000, d: 86_400_000 } as const;

/** Milliseconds of `90s`, `10m`, `1h`, `30d`, `250ms`; a bare number is seconds. Undefined for anything else. */
export function parseDuration(text: string): number | undefined {
  const m = /^(\d{1,10})(ms|s|m|h|d)?$/.exec(text);
  return m ? Number(m[1]) * UNITS[(m[2] ?? 's') as keyof typeof UNITS] : undefined;
}
