import { z } from 'zod';
import { parseYaml } from '../../parse-yaml.ts';
import { readSettings } from '../registries/load-registries.ts';

const action = z.enum(['allow', 'ask', 'deny']);
export type PushAction = z.output<typeof action>;

const schema = z.strictObject({
  default: action.optional(),
  /** Registry, namespace, repository or `*.domain` → what is done about a push there. */
  push: z.record(z.string(), action).optional(),
  /** Places that everybody can read. */
  public: z.array(z.string()).optional(),
  /** Images that are not for everybody, by the beginning of their names. */
  private: z.array(z.string()).optional(),
});

/** What one push-policy.yaml says. */
export type PushPolicy = z.output<typeof schema> & { file: string };

/** Reads the files that are there, in their order. Throws `invalid`: a policy that is not understood lets nothing out. */
export function loadPushPolicies(files: readonly string[]): PushPolicy[] {
  return files.flatMap((file): PushPolicy[] => {
    const text = readSettings(file);
    if (text === undefined) return [];
    const keys = 'default: allow|ask|deny, push: {PREFIX: allow|ask|deny}, public: [PREFIX], private: [PREFIX]';
    return [{ ...parseYaml(text, file, schema, `it may have ${keys}`), file }];
  });
}
