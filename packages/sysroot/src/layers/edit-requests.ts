import { AtomicError } from '@atomic/ostree';
import { checkRequest, type PinnedPackage, packageName, type Requests } from './requests.ts';

/** Changes of requests, in the order they are made; package files are kept and known already. */
export interface RequestEdits {
  uninstall?: readonly string[] | undefined;
  uninstallAll?: boolean | undefined;
  install?: readonly string[] | undefined;
  local?: readonly PinnedPackage[] | undefined;
  localFileOverride?: readonly PinnedPackage[] | undefined;
  /** Overrides to take back, by package. */
  reset?: readonly string[] | undefined;
  resetAll?: boolean | undefined;
  remove?: readonly string[] | undefined;
  replace?: readonly PinnedPackage[] | undefined;
  replaceFrom?: { source: string; packages: readonly string[] } | undefined;
  /** What is so already, or is not there to be taken away, is no error. */
  idempotent?: boolean | undefined;
}

const refuse = (message: string, hint?: string) =>
  new AtomicError('invalid', message, hint === undefined ? {} : { hint });

/** Whether a word means that package file: its full name, or the package's name. */
const means = (word: string, { name }: PinnedPackage): boolean => name === word || packageName(name) === word;

/** Whether a word means that request: as it was asked for, or without the version or suite that apt was told (htop=3.2, htop/sid). */
const asks = (word: string, request: string): boolean =>
  request === word || /^([^=/]+)[=/]/.exec(request)?.[1] === word;

/** Requests after the edits. Throws `invalid` in rpm-ostree's words for what is asked for twice, or not at all. */
export function editRequests(before: Requests, edits: RequestEdits): Requests {
  return editOverrides(editPackages(before, edits), edits);
}

function editPackages(before: Requests, edits: RequestEdits): Requests {
  let install = edits.uninstallAll ? [] : [...before.install];
  let local = edits.uninstallAll ? [] : [...before.local];
  let localFileOverride = edits.uninstallAll ? [] : [...before.localFileOverride];
  for (const word of edits.uninstall ?? []) {
    if (install.some((request) => asks(word, request))) install = install.filter((request) => !asks(word, request));
    else if (local.some((one) => means(word, one))) local = local.filter((one) => !means(word, one));
    else if (localFileOverride.some((one) => means(word, one))) {
      localFileOverride = localFileOverride.filter((one) => !means(word, one));
    } else if (!edits.idempotent) {
      throw refuse(
        `Package/capability '${word}' is not currently requested`,
        'only what was layered can be uninstalled; a package of the base goes with: atomic host override remove',
      );
    }
  }
  const isNew = (word: string): boolean => {
    if (install.includes(word)) {
      if (!edits.idempotent) throw refuse(`Package/capability '${word}' is already requested`);
      return false;
    }
    if ([...local, ...localFileOverride].some(({ name }) => name === word)) {
      if (!edits.idempotent) throw refuse(`Package '${word}' is already layered`);
      return false;
    }
    return true;
  };
  for (const word of edits.install ?? []) if (isNew(checkRequest(word))) install.push(word);
  // Another version of a package file takes the place of the one before.
  const others = (list: PinnedPackage[], { name }: PinnedPackage) =>
    list.filter((one) => packageName(one.name) !== packageName(name));
  for (const one of edits.local ?? []) if (isNew(one.name)) local = [...others(local, one), one];
  for (const one of edits.localFileOverride ?? []) {
    if (isNew(one.name)) localFileOverride = [...others(localFileOverride, one), one];
  }
  return { ...before, install, local, localFileOverride };
}

function editOverrides(before: Requests, edits: RequestEdits): Requests {
  let remove = edits.resetAll ? [] : [...before.remove];
  let replace = edits.resetAll ? [] : [...before.replace];
  let replaceFrom = edits.resetAll ? [] : [...before.replaceFrom];
  const without = (word: string) =>
    replaceFrom
      .map(({ source, packages }) => ({ source, packages: packages.filter((name) => name !== word) }))
      .filter(({ packages }) => packages.length > 0);
  for (const word of edits.reset ?? []) {
    if (replaceFrom.some(({ packages }) => packages.includes(word))) replaceFrom = without(word);
    else if (remove.includes(word)) remove = remove.filter((name) => name !== word);
    else if (replace.some((one) => means(word, one))) replace = replace.filter((one) => !means(word, one));
    else if (!edits.idempotent) throw refuse(`No overrides for package '${word}'`);
  }
  // Before what is refused below: a newer file of the same package takes the place of the one before.
  const newer = edits.replace ?? [];
  const same = replace.find((one) => newer.some(({ name }) => name === one.name));
  if (same !== undefined && !edits.idempotent) throw refuse(`Override already exists for package '${same.name}'`);
  replace = replace.filter((one) => !newer.some(({ name }) => packageName(name) === packageName(one.name)));
  for (const one of newer) {
    if (remove.includes(packageName(one.name))) throw refuse(`Override already exists for package '${one.name}'`);
    replace.push(one);
  }
  for (const word of edits.replaceFrom?.packages ?? []) replaceFrom = without(checkRequest(word));
  if (edits.replaceFrom !== undefined) {
    const { source, packages } = edits.replaceFrom;
    const old = replaceFrom.find((one) => one.source === source)?.packages ?? [];
    replaceFrom = [
      ...replaceFrom.filter((one) => one.source !== source),
      { source, packages: [...new Set([...old, ...packages])].sort() },
    ];
  }
  for (const word of edits.remove ?? []) {
    checkRequest(word);
    const there =
      remove.includes(word) ||
      replace.some((one) => means(word, one)) ||
      replaceFrom.some(({ packages }) => packages.includes(word));
    if (there && !(edits.idempotent && remove.includes(word))) {
      throw refuse(`Override already exists for package '${word}'`);
    }
    if (!there) remove.push(word);
  }
  return { ...before, remove, replace, replaceFrom };
}
