/** A value of `variables`. */
export type VariableValue = string | number | boolean;

/** Why a condition cannot be judged. */
export interface Unjudged {
  problem: string;
}

const COMPARE: Record<string, (a: number, b: number) => boolean> = {
  '<': (a, b) => a < b,
  '<=': (a, b) => a <= b,
  '>': (a, b) => a > b,
  '>=': (a, b) => a >= b,
};

/**
 * Judges a condition of `conditional-include`: VARIABLE OPERATOR VALUE. Both sides are of one type, and only numbers are
 * less or more than others. `same`: whether two texts mean the same, for variables with several right names.
 */
export function judge(
  condition: string,
  variables: ReadonlyMap<string, VariableValue>,
  same: (variable: string, a: string, b: string) => boolean,
): boolean | Unjudged {
  const [, name = '', operator = '', text = ''] = /^\s*(\w+)\s*(==|!=|<=|>=|<|>)\s*(.*?)\s*$/.exec(condition) ?? [];
  const value = text.startsWith('"')
    ? text.slice(1, -1)
    : text === 'true' || text === 'false'
      ? text === 'true'
      : Number(text);
  const known = variables.get(name);
  if (known === undefined) return { problem: `variable '${name}' is not set` };
  if (typeof known !== typeof value)
    return { problem: `'${name}' is ${JSON.stringify(known)}, which is not of the same type as ${text}` };
  const equal = known === value || (typeof known === 'string' && typeof value === 'string' && same(name, known, value));
  if (operator === '==') return equal;
  if (operator === '!=') return !equal;
  const compare = COMPARE[operator];
  if (compare === undefined || typeof known !== 'number' || typeof value !== 'number')
    return { problem: `${operator} is for numbers only` };
  return compare(known, value);
}
