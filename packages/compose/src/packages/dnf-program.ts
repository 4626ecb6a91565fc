import { DNF_MAIN } from './dnf-main.ts';
import { DNF5_PROGRAM } from './dnf5-program.ts';

/**
 * What is asked of dnf, in its own language: its command prints tables for people, its library answers exactly. A
 * request comes as JSON on standard input, the answer goes as JSON to standard output; lines of progress go to standard
 * error. Library: https://dnf.readthedocs.io/en/latest/api.html (dnf 4); {@link DNF5_PROGRAM} where there is dnf 5 alone.
 */
export const DNF_PROGRAM = String.raw`
import json, os, sys
answer_to = os.dup(1)
os.dup2(2, 1)

def answer(value):
    with os.fdopen(answer_to, 'w') as out:
        json.dump(value, out)
    sys.exit(0)

class Failed(Exception):
    def __init__(self, kind, message, subject=None):
        self.value = {'kind': kind, 'message': message, 'subject': subject}

try:
    import hashlib, hawkey, libdnf
    import dnf, dnf.callback, dnf.comps, dnf.crypto, dnf.exceptions, dnf.repo, dnf.subject
except ImportError:
    ask = json.load(sys.stdin)
    try:
        exec(compile(${JSON.stringify(DNF5_PROGRAM)}, 'dnf5', 'exec'))
    except ImportError as error:
        answer({'error': {'kind': 'no-dnf', 'message': str(error), 'subject': None}})

ask = json.load(sys.stdin)

def version(pkg):
    epoch = '' if int(pkg.epoch) == 0 else '%s:' % pkg.epoch
    return '%s%s-%s' % (epoch, pkg.version, pkg.release)

def nevra(pkg):
    return '%s-%s.%s' % (pkg.name, version(pkg), pkg.arch)

def described(pkg):
    kind, digest = pkg.chksum or (None, b'')
    return {
        'name': pkg.name, 'version': version(pkg), 'arch': pkg.arch, 'repo': pkg.reponame, 'size': pkg.downloadsize,
        'digest': '%s:%s' % (hawkey.chksum_name(kind), digest.hex()) if kind else None,
    }

class Progress(dnf.callback.DownloadProgress):
    def start(self, total_files, total_size, total_drpms=0):
        self.total, self.done = total_files, 0
    def progress(self, payload, done):
        pass
    def end(self, payload, status, message):
        self.done += 1
        print('fetched %d %d %s' % (self.done, self.total, payload), file=sys.stderr, flush=True)

def open_base():
    base = dnf.Base()
    conf = base.conf
    if ask.get('config') and os.path.exists(ask['config']):
        conf.read(ask['config'])
    conf.plugins = False
    conf.installroot = ask['installroot']
    conf.cachedir = ask['cachedir']
    conf.persistdir = os.path.join(ask['cachedir'], 'state')
    conf.keepcache = True
    conf.best = True
    conf.obsoletes = True
    conf.timeout = 30
    conf.retries = 2
    conf.reposdir = ask['reposdir']
    conf.varsdir = ask.get('varsdir') or []
    if ask.get('proxy'):
        conf.proxy = ask['proxy']
    if not ask.get('system'):
        # Whatever a treefile's repositories do not say: packages are signed.
        conf.gpgcheck = True
    if ask.get('recommends') is not None:
        conf.install_weak_deps = ask['recommends']
    if ask.get('platform'):
        conf.module_platform_id = ask['platform']
    source = ask['installroot'] if ask.get('system') else ask.get('sourceRoot') or '/'
    conf.substitutions.update_from_etc(source, varsdir=conf.varsdir)
    if ask.get('releasever'):
        conf.substitutions['releasever'] = ask['releasever']
    elif ask.get('system') or ask.get('sourceRoot'):
        found = dnf.rpm.detect_releasever(source)
        if found:
            conf.substitutions['releasever'] = found
    conf.substitutions['arch'] = ask['arch']
    conf.substitutions['basearch'] = dnf.rpm.basearch(ask['arch'])
    for name, value in (ask.get('vars') or {}).items():
        conf.substitutions[name] = value
    base.read_all_repos()
    wanted = ask.get('repos')
    if wanted is not None:
        wanted = wanted + (ask.get('lockRepos') or [])
        known = sorted(repo.id for repo in base.repos.all())
        for repo in base.repos.all():
            repo.disable()
        for name in wanted:
            if name not in known:
                raise Failed('no-repo', ', '.join(known), name)
            base.repos[name].enable()
    for repo in base.repos.iter_enabled():
        if ask.get('offline'):
            repo._repo.setSyncStrategy(dnf.repo.SYNC_ONLY_CACHE)
        elif ask.get('anew'):
            repo._repo.expire()
    return base

def fill(base):
    base.fill_sack(load_system_repo=bool(ask.get('system')), load_available_repos=True)
    for pattern in ask.get('exclude') or []:
        base.sack.add_excludes(base.sack.query().filter(name__glob=pattern))
    base.read_comps(arch_filter=True)

def repositories(base):
    found = []
    for repo in base.repos.iter_enabled():
        path = os.path.join(repo._repo.getCachedir(), 'repodata/repomd.xml')
        if not os.path.exists(path):
            continue
        with open(path, 'rb') as file:
            digest = hashlib.sha256(file.read()).hexdigest()
        count = len(base.sack.query().available().filter(reponame=repo.id)) if base._sack else None
        found.append({'id': repo.id, 'digest': digest, 'timestamp': repo._repo.getTimestamp() or None, 'packages': count})
    return found

def hold_base(base):
    """Packages of the base stay as they are, but those that a request names."""
    free = set(ask.get('free') or [])
    held = set(pkg.name for pkg in base.sack.query().installed()) - free
    for name in held:
        base.sack.add_excludes(base.sack.query().available().filter(name=name))

def keep_to_lock(base):
    for name, wanted in (ask.get('locked') or {}).items():
        available = base.sack.query().available().filter(name=name)
        matching = [pkg for pkg in available if version(pkg) in wanted or '%s.%s' % (version(pkg), pkg.arch) in wanted]
        if not matching:
            raise Failed('locked', ', '.join(sorted('%s.%s' % (version(pkg), pkg.arch) for pkg in available)), '%s-%s' % (name, wanted[0]))
        others = [pkg for pkg in available if pkg not in matching]
        if others:
            base.sack.add_excludes(base.sack.query().filter(pkg=others))
    names = list((ask.get('locked') or {}).keys())
    for repo in ask.get('lockRepos') or []:
        base.sack.add_excludes(base.sack.query().available().filter(reponame=repo, name__neq=names))

def met_by(base, spec):
    if spec.startswith('@'):
        return None
    query = dnf.subject.Subject(spec).get_best_query(base.sack, with_nevra=True, with_provides=True, with_filenames=True)
    found = list(query.installed())
    return nevra(found[0]) if found else None

def mark(base):
    inactive = []
    # All at once: the library takes no more files once something is marked.
    local = len(ask.get('local') or [])
    files = base.add_remote_rpms(list(ask.get('local') or []) + list(ask.get('replace') or []))
    for pkg in files[:local]:
        same = [one for one in base.sack.query().installed().filter(name=pkg.name) if one.arch == pkg.arch or 'noarch' in (one.arch, pkg.arch)]
        if any(one.evr == pkg.evr for one in same):
            inactive.append({'request': nevra(pkg), 'by': nevra(pkg)})
        elif same:
            raise Failed('in-base', nevra(same[0]), pkg.name)
        else:
            base.goal.install(pkg)
    for pkg in files[local:]:
        same = list(base.sack.query().installed().filter(name=pkg.name))
        if not same:
            inactive.append({'request': nevra(pkg), 'by': None})
        elif any(one.evr == pkg.evr for one in same):
            inactive.append({'request': nevra(pkg), 'by': nevra(pkg)})
        else:
            base.goal.install(pkg)
    wanted = missing_specs(base, inactive)
    for entry in ask.get('repoPackages') or []:
        for spec in entry['packages']:
            if not base.install(spec, reponame=entry['repo'], strict=True):
                raise Failed('no-package', '', spec)
    try:
        base.install_specs(wanted, strict=True)
    except dnf.exceptions.MarkingErrors as error:
        missing = list(error.no_match_group_specs or []) + list(error.no_match_pkg_specs or [])
        if missing:
            every = base.sack.query(flags=hawkey.IGNORE_EXCLUDES).available()
            raise Failed('excluded' if len(every.filter(provides=missing[0])) else 'no-package', '', missing[0])
        broken = list(error.error_pkg_specs or []) + list(error.error_group_specs or [])
        raise Failed('conflict', ' '.join(str(error).split()), broken[0] if broken else None)
    for entry in ask.get('replaceFrom') or []:
        for name in entry['packages']:
            if not len(base.sack.query().installed().filter(name=name)):
                inactive.append({'request': name, 'by': None})
                continue
            found = base.sack.query().available().filter(name=name, reponame=entry['source']).latest()
            if not len(found):
                raise Failed('no-package', '', '%s in %s' % (name, entry['source']))
            for pkg in found:
                base.goal.install(pkg)
    for name in ask.get('remove') or []:
        found = base.sack.query().installed().filter(name=name)
        if not len(found):
            inactive.append({'request': name, 'by': None})
        for pkg in found:
            base.package_remove(pkg)
    return inactive

def gather(base):
    """What comes and what goes: installed and removed packages."""
    comes, goes = [], []
    for item in base.transaction:
        (comes if item.action in dnf.transaction.FORWARD_ACTIONS else goes).append(item.pkg)
    return comes, goes

def problem(error):
    lines = [line.strip(' -\t') for line in str(error).splitlines()]
    return [line for line in lines if line]

def keys_of(base, repos, folder):
    """The keys that packages of these repositories are signed with, as files."""
    found = {}
    for repo in repos:
        found[repo.id] = []
        for url in repo.gpgkey:
            for key in dnf.crypto.retrieve(url, repo):
                path = os.path.join(folder, 'key-%s' % hashlib.sha256(key.raw_key).hexdigest()[:16])
                with open(path, 'wb') as file:
                    file.write(key.raw_key)
                found[repo.id].append(path)
    return found

def advisories(base, names):
    """What the repositories say of the very packages named."""
    kinds = {hawkey.ADVISORY_SECURITY: 'security', hawkey.ADVISORY_BUGFIX: 'bugfix', hawkey.ADVISORY_ENHANCEMENT: 'enhancement', hawkey.ADVISORY_NEWPACKAGE: 'newpackage'}
    found = {}
    for pkg in base.sack.query().available():
        if nevra(pkg) not in names:
            continue
        for one in pkg.get_advisories(hawkey.EQ):
            entry = found.setdefault(one.id, {
                'id': one.id, 'kind': kinds.get(one.type, 'unknown'), 'severity': (one.severity or '').lower(), 'packages': [],
                'references': [{'url': ref.url or '', 'title': ref.title or ref.id or ''} for ref in one.references if ref.type == hawkey.REFERENCE_CVE],
            })
            if nevra(pkg) not in entry['packages']:
                entry['packages'].append(nevra(pkg))
    return sorted(found.values(), key=lambda one: one['id'])

def fetched(base, packages):
    """Downloads packages: where each is, and the keys they have to be signed with."""
    remote = [pkg for pkg in packages if not pkg._from_cmdline]
    base.download_packages(remote, Progress())
    repos = [base.repos[name] for name in sorted(set(pkg.reponame for pkg in remote))]
    return {
        'keys': keys_of(base, [repo for repo in repos if repo.gpgcheck], ask['cachedir']),
        'installed': [dict(described(pkg), path=pkg.localPkg()) for pkg in packages],
    }

def available(base):
    return base.sack.query().available()

def searched(base):
    query = available(base).latest()
    result = query
    for word in ask['words']:
        result = result.filter(name__glob='*%s*' % word)
    names, summaries = set(pkg.name for pkg in result.filter(arch__neq=['src', 'nosrc'])), set()
    for pkg in query:
        if pkg.arch not in ('src', 'nosrc') and all(word.lower() in (pkg.summary or '').lower() for word in ask['words']):
            summaries.add(pkg.name)
    text = {pkg.name: pkg.summary or '' for pkg in query if pkg.name in names or pkg.name in summaries}
    return matches(names, summaries, text)

def chosen(base, name, wanted):
    known = available(base).filter(name=name)
    return [pkg for pkg in known if version(pkg) == wanted] if wanted else list(known.latest())

def resolve(base):
    inactive = mark(base)
    base.resolve(allow_erasing=bool(ask.get('remove')))
    return (inactive, *gather(base))
${DNF_MAIN}
try:
    answer(main())
except Failed as error:
    answer({'error': error.value})
except dnf.exceptions.RepoError as error:
    answer({'error': {'kind': 'offline' if ask.get('offline') else 'network', 'message': ' '.join(str(error).split()), 'subject': None}})
except dnf.exceptions.DownloadError as error:
    answer({'error': {'kind': 'network', 'message': ' '.join(str(error).split()), 'subject': None}})
except dnf.exceptions.DepsolveError as error:
    answer({'error': {'kind': 'conflict', 'message': '\n'.join(problem(error)), 'subject': None}})
except (dnf.exceptions.PackageNotFoundError, dnf.exceptions.PackagesNotInstalledError) as error:
    answer({'error': {'kind': 'no-package', 'message': '', 'subject': error.pkg_spec or str(error)}})
except dnf.exceptions.CompsError as error:
    answer({'error': {'kind': 'failed', 'message': ' '.join(str(error).split()), 'subject': None}})
except OSError as error:
    answer({'error': {'kind': 'no-space' if error.errno == 28 else 'failed', 'message': str(error), 'subject': None}})
except dnf.exceptions.Error as error:
    answer({'error': {'kind': 'failed', 'message': ' '.join(str(error).split()), 'subject': None}})
`;
