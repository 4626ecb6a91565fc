/**
 * What is asked and how it is answered, for both versions of dnf, in Python: it stands in a program that has `ask`,
 * `Failed`, and the functions of its library that are called here.
 */
export const DNF_MAIN = `
def matches(names, summaries, text):
    def matched(name):
        return 'name+summary' if name in names and name in summaries else 'name' if name in names else 'summary'
    return [{'name': name, 'summary': text.get(name, ''), 'matched': matched(name)} for name in sorted(names | summaries)]

def missing_specs(base, inactive):
    missing = []
    for spec in ask.get('install') or []:
        by = met_by(base, spec) if ask.get('system') else None
        if by:
            inactive.append({'request': spec, 'by': by})
        else:
            # dnf tells groups and environments apart by their ids; treefiles and kickstarts by this sign, too.
            missing.append('@' + spec[2:] if spec.startswith('@^') else spec)
    return missing

def main():
    action = ask['action']
    base = open_base()
    fill(base)
    if action == 'refresh':
        return {'repositories': repositories(base)}
    if action == 'search':
        return {'found': searched(base)}
    if action == 'describe':
        names = set(ask['words'])
        return {'described': [described(pkg) for pkg in available(base) if nevra(pkg) in names]}
    if action == 'files':
        found = []
        for word in ask['words']:
            name, _, wanted = word.partition('=')
            packages = chosen(base, name, wanted)
            if not packages:
                raise Failed('no-package', '', word)
            found += packages
        return fetched(base, found)
    if action == 'advisories':
        return {'advisories': advisories(base, set(ask['words']))}
    if ask.get('hold'):
        hold_base(base)
    keep_to_lock(base)
    inactive, comes, goes = resolve(base)
    result = {'inactive': inactive, 'removed': [described(pkg) for pkg in goes]}
    if action == 'fetch':
        result.update(fetched(base, comes))
        result['advisories'] = advisories(base, set(nevra(pkg) for pkg in comes))
    else:
        result['installed'] = [described(pkg) for pkg in comes]
    return result
`;
