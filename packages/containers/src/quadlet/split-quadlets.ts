import { AtomicError } from '@atomic/ostree';
import { UnitFile, UnitSyntaxError } from './unit-file.ts';
import { GROUP_OF, QUADLET_TYPES } from './unit-names.ts';

/** A name that is one file in one folder, and not hidden. */
export const isFileName = (name: string): boolean => /^[^./\0][^/\0]*$/.test(name) && name.length <= 200;

/**
 * The sources in a `.quadlets` file: sections between lines `---`, each with a comment `# FileName=NAME`, the type told
 * by its group. Throws `invalid`.
 */
export function splitQuadlets(text: string, file: string): { name: string; text: string }[] {
  const bad = (section: number, why: string): AtomicError =>
    new AtomicError('invalid', `${file}: section ${section + 1} ${why}`);
  const sections = text.split(/^---[ \t]*$/m).filter((section) => section.trim() !== '');
  if (sections.length === 0) throw new AtomicError('invalid', `${file} is empty`);
  const found = sections.map((section, index) => {
    const name = /^[ \t]*[#;][ \t]*FileName=[ \t]*(\S.*?)[ \t]*$/m.exec(section)?.[1];
    if (name === undefined) throw bad(index, 'has no comment # FileName=NAME');
    if (!isFileName(name)) throw bad(index, `is named '${name}', which is no name of a file`);
    let groups: string[];
    try {
      groups = UnitFile.parse(section, name).groups();
    } catch (error) {
      if (error instanceof UnitSyntaxError) throw bad(index, `(${name}): ${error.message}`);
      throw error;
    }
    const types = QUADLET_TYPES.filter((type) => groups.includes(GROUP_OF[type]));
    const [type] = types;
    if (type === undefined) throw bad(index, `(${name}) has none of the groups [Container], [Volume], [Network]…`);
    if (types.length > 1) throw bad(index, `(${name}) has the groups of several types: ${types.join(', ')}`);
    return {
      name: name.endsWith(`.${type}`) ? name : `${name}.${type}`,
      text: `${section.replace(/^\n+/, '').trimEnd()}\n`,
    };
  });
  const names = found.map(({ name }) => name);
  const twice = names.find((name, index) => names.indexOf(name) !== index);
  if (twice !== undefined) throw new AtomicError('invalid', `${file} has ${twice} twice`);
  return found;
}
