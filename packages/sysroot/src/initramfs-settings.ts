import { AtomicError, type KeyFile } from '@atomic/ostree';

/** What a deployment's origin asks of its initramfs; the group and keys are rpm-ostree's (rust/src/origin.rs). */
export interface InitramfsSettings {
  /** Made anew by dracut for each deployment. */
  regenerate: boolean;
  /** For dracut, after ours. */
  args: string[];
  /** Files and folders of /etc, by their whole path, that go into an image loaded after the tree's. */
  etc: string[];
}

const GROUP = 'rpmostree';

const list = (origin: KeyFile | null, key: string): string[] =>
  // Not at commas: they are part of dracut's arguments.
  (origin?.get(GROUP, key) ?? '').split(';').filter((item) => item !== '');

export const readInitramfsSettings = (origin: KeyFile | null): InitramfsSettings => ({
  regenerate: origin?.getBoolean(GROUP, 'regenerate-initramfs') ?? false,
  args: list(origin, 'initramfs-args'),
  etc: list(origin, 'initramfs-etc'),
});

/** Throws `invalid` for an item that a list in an origin cannot hold. */
export function writeInitramfsSettings(origin: KeyFile, settings: InitramfsSettings): void {
  const put = (key: string, items: readonly string[]) => {
    const bad = items.find((item) => item === '' || /[;\n\\]/.test(item));
    if (bad !== undefined)
      throw new AtomicError('invalid', `'${bad}' cannot be kept: it is empty or has ; or \\ in it`);
    if (items.length === 0) origin.removeKey(GROUP, key);
    else origin.set(GROUP, key, `${items.join(';')};`);
  };
  if (settings.regenerate) origin.set(GROUP, 'regenerate-initramfs', 'true');
  else origin.removeKey(GROUP, 'regenerate-initramfs');
  put('initramfs-args', settings.args);
  put('initramfs-etc', settings.etc);
  if (origin.keys(GROUP).length === 0) origin.removeGroup(GROUP);
}
