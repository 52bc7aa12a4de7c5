import { type Channel, contains, matches, type Pattern, parsePattern } from './channel.ts';
import { parseDuration } from './duration.ts';

/** What is kept of a channel: about `length` messages, until `keepMs` after the last of them. Length 0: sent, not kept. */
export interface Retention {
  length: number;
  keepMs: number;
}

export interface RetentionRule extends Retention {
  pattern: Pattern;
}

/** Holds where no earlier rule matches. */
export const defaultRetention: readonly RetentionRule[] = [
  { pattern: 'notify:*' as Pattern, length: 100, keepMs: 30 * 86_400_000 },
  { pattern: '*' as Pattern, length: 10_000, keepMs: 3600_000 },
];

/**
 * Rules from text, the first match holds: `notify:*=100/30d, cursors:*=none, *=10000/1h`. The defaults follow the given
 * rules. Throws RangeError naming the part that is wrong.
 */
export function parseRetention(text: string): RetentionRule[] {
  const rules = text
    .split(/[\s,]+/)
    .filter((part) => part !== '')
    .map((part) => {
      const m = /^([^=]+)=(?:(none)|(\d{1,7})\/(\w+))$/.exec(part);
      const pattern = m && parsePattern(m[1]!);
      const keepMs = m?.[2] ? 0 : parseDuration(m?.[4] ?? '');
      const length = m?.[2] ? 0 : Number(m?.[3]);
      if (!pattern || keepMs === undefined || (!m?.[2] && (length < 1 || keepMs < 1000))) {
        throw new RangeError(`retention "${part}": write pattern=length/time, as in notify:*=100/30d, or pattern=none`);
      }
      return { pattern, length, keepMs };
    });
  return [...rules, ...defaultRetention];
}

/** The rule that holds for `channel`. */
export function retentionOf(rules: readonly RetentionRule[], channel: Channel): Retention {
  return rules.find((rule) => matches(rule.pattern, channel)) ?? defaultRetention.at(-1)!;
}

/** The longest that any rule keeps anything; a rule whose names all belong to an earlier one never holds. */
export function longestKeepMs(rules: readonly RetentionRule[]): number {
  const holding = rules.filter(
    ({ pattern }, i) => !rules.slice(0, i).some((earlier) => contains(earlier.pattern, pattern)),
  );
  return Math.max(...holding.map((rule) => rule.keepMs));
}
