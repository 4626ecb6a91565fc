import { DNF_MAIN } from './dnf-main.ts';

/**
 * The same as {@link file://./dnf-program.ts}, asked of dnf 5's library (https://dnf5.readthedocs.io/en/stable/api): what
 * that file runs where there is no dnf 4. `answer`, `Failed` and `ask` are there already.
 */
export const DNF5_PROGRAM = String.raw`
import glob, hashlib, json, os, sys
import libdnf5
from libdnf5.base import Goal, GoalJobSettings
from libdnf5.common import QueryCmp_EQ, QueryCmp_GLOB, QueryCmp_IGLOB, QueryCmp_ICONTAINS
from libdnf5.repo import Repo, RepoQuery
from libdnf5.rpm import PackageQuery

def version(pkg):
    return pkg.get_evr()

def nevra(pkg):
    return '%s-%s.%s' % (pkg.get_name(), version(pkg), pkg.get_arch())

def described(pkg):
    checksum = pkg.get_checksum()
    digest = checksum.get_checksum()
    return {
        'name': pkg.get_name(), 'version': version(pkg), 'arch': pkg.get_arch(), 'repo': pkg.get_repo_id(), 'size': pkg.get_download_size(),
        'digest': '%s:%s' % (checksum.get_type_str().lower(), digest) if digest else None,
    }

def read_vars(base, root, folders):
    for folder in folders:
        at = os.path.join(root, folder.lstrip('/'))
        for name in sorted(os.listdir(at)) if os.path.isdir(at) else []:
            with open(os.path.join(at, name)) as file:
                base.get_vars().set(name, file.readline().strip())

def open_base():
    base = libdnf5.base.Base()
    conf = base.get_config()
    system = bool(ask.get('system'))
    if ask.get('config') and os.path.exists(ask['config']):
        conf.config_file_path = ask['config']
        base.load_config()
    conf.plugins = False
    conf.installroot = ask['installroot']
    conf.cachedir = conf.system_cachedir = os.path.join(ask['cachedir'], 'five')
    conf.system_state_dir = conf.persistdir = conf.logdir = os.path.join(ask['cachedir'], 'state')
    conf.keepcache = True
    conf.best = True
    conf.obsoletes = True
    conf.timeout = 30
    conf.retries = 2
    conf.skip_if_unavailable = False
    conf.varsdir = ()
    conf.get_optional_metadata_types_option().add_item(libdnf5.conf.Option.Priority_RUNTIME, 'comps')
    conf.get_optional_metadata_types_option().add_item(libdnf5.conf.Option.Priority_RUNTIME, 'filelists')
    conf.get_optional_metadata_types_option().add_item(libdnf5.conf.Option.Priority_RUNTIME, 'updateinfo')
    if ask.get('proxy'):
        conf.proxy = ask['proxy']
    if not system:
        # Whatever a treefile's repositories do not say: packages are signed.
        conf.pkg_gpgcheck = True
    if ask.get('recommends') is not None:
        conf.install_weak_deps = ask['recommends']
    if ask.get('platform'):
        conf.module_platform_id = ask['platform']
    names = base.get_vars()
    source = ask['installroot'] if system else ask.get('sourceRoot') or '/'
    read_vars(base, source, ask.get('varsdir') or [])
    names.set('arch', ask['arch'])
    if ask.get('releasever'):
        names.set('releasever', ask['releasever'])
    elif system or ask.get('sourceRoot'):
        found = libdnf5.conf.Vars.detect_release(base.get_weak_ptr(), source)
        if found and found.get():
            names.set('releasever', found.get())
    for name, value in (ask.get('vars') or {}).items():
        names.set(name, value)
    base.setup()
    sack = base.get_repo_sack()
    for folder in ask['reposdir']:
        for path in sorted(glob.glob(os.path.join(folder, '*.repo'))):
            sack.create_repos_from_file(path)
    repos = list(RepoQuery(base))
    wanted = ask.get('repos')
    if wanted is not None:
        wanted = wanted + (ask.get('lockRepos') or [])
        known = sorted(repo.get_id() for repo in repos)
        for name in wanted:
            if name not in known:
                raise Failed('no-repo', ', '.join(known), name)
        for repo in repos:
            if repo.get_id() in wanted:
                repo.enable()
            else:
                repo.disable()
    for repo in enabled(base):
        if ask.get('offline'):
            repo.set_sync_strategy(Repo.SyncStrategy_ONLY_CACHE)
        elif ask.get('anew'):
            repo.expire()
    return base

def enabled(base):
    query = RepoQuery(base)
    query.filter_enabled(True)
    query.filter_type(Repo.Type_AVAILABLE)
    return sorted(query, key=lambda repo: repo.get_id())

def available(base):
    query = PackageQuery(base)
    query.filter_available()
    return query

def installed(base):
    query = PackageQuery(base)
    query.filter_installed()
    return query

def exclude(base, packages):
    base.get_rpm_package_sack().add_user_excludes(packages)

def fill(base):
    sack = base.get_repo_sack()
    try:
        if ask.get('system'):
            sack.load_repos()
        else:
            sack.load_repos(Repo.Type_AVAILABLE)
    except RuntimeError as error:
        raise Failed('offline' if ask.get('offline') else 'network', reason(error))
    for pattern in ask.get('exclude') or []:
        query = PackageQuery(base)
        query.filter_name([pattern], QueryCmp_GLOB)
        exclude(base, query)

def repositories(base):
    found = []
    for repo in enabled(base):
        path = os.path.join(repo.get_cachedir(), 'repodata/repomd.xml')
        if not os.path.exists(path):
            continue
        with open(path, 'rb') as file:
            digest = hashlib.sha256(file.read()).hexdigest()
        query = available(base)
        query.filter_repo_id([repo.get_id()])
        found.append({'id': repo.get_id(), 'digest': digest, 'timestamp': repo.get_max_timestamp() or None, 'packages': query.size()})
    return found

def hold_base(base):
    """Packages of the base stay as they are, but those that a request names."""
    free = set(ask.get('free') or [])
    held = sorted(set(pkg.get_name() for pkg in installed(base)) - free)
    query = available(base)
    query.filter_name(held)
    exclude(base, query)

def keep_to_lock(base):
    for name, wanted in (ask.get('locked') or {}).items():
        query = available(base)
        query.filter_name([name])
        def fits(pkg):
            return version(pkg) in wanted or '%s.%s' % (version(pkg), pkg.get_arch()) in wanted
        known = list(query)
        if not any(fits(pkg) for pkg in known):
            raise Failed('locked', ', '.join(sorted('%s.%s' % (version(pkg), pkg.get_arch()) for pkg in known)), '%s-%s' % (name, wanted[0]))
        for pkg in known:
            if fits(pkg):
                query.remove(pkg)
        exclude(base, query)
    names = list((ask.get('locked') or {}).keys())
    for repo in ask.get('lockRepos') or []:
        query = available(base)
        query.filter_repo_id([repo])
        query.filter_name(names, libdnf5.common.QueryCmp_NEQ)
        exclude(base, query)

def met_by(base, spec):
    if spec.startswith('@'):
        return None
    query = installed(base)
    good, _ = query.resolve_pkg_spec(spec, libdnf5.base.ResolveSpecSettings(), False)
    found = list(query) if good else []
    return nevra(found[0]) if found else None

def files(base, paths):
    """Package files, each as a package."""
    if not paths:
        return []
    base.get_repo_sack().add_cmdline_packages(paths)
    query = PackageQuery(base)
    query.filter_repo_id(['@commandline'])
    known = {pkg.get_package_path(): pkg for pkg in query}
    return [known[path] for path in paths]

def mark(base, goal):
    inactive = []
    def named(name):
        query = installed(base)
        query.filter_name([name])
        return list(query)
    local = files(base, list(ask.get('local') or []) + list(ask.get('replace') or []))
    for number, pkg in enumerate(local):
        same = named(pkg.get_name())
        replacing = number >= len(ask.get('local') or [])
        if not replacing:
            same = [one for one in same if one.get_arch() == pkg.get_arch() or 'noarch' in (one.get_arch(), pkg.get_arch())]
        if replacing and not same:
            inactive.append({'request': nevra(pkg), 'by': None})
        elif any(version(one) == version(pkg) for one in same):
            inactive.append({'request': nevra(pkg), 'by': nevra(pkg)})
        elif same and not replacing:
            raise Failed('in-base', nevra(same[0]), pkg.get_name())
        else:
            goal.add_rpm_install(pkg)
    for spec in missing_specs(base, inactive):
        goal.add_install(spec)
    for entry in ask.get('repoPackages') or []:
        for spec in entry['packages']:
            settings = GoalJobSettings()
            settings.set_to_repo_ids([entry['repo']])
            goal.add_install(spec, settings)
    for entry in ask.get('replaceFrom') or []:
        for name in entry['packages']:
            there = [version(one) for one in named(name)]
            if not there:
                inactive.append({'request': name, 'by': None})
                continue
            query = available(base)
            query.filter_name([name])
            query.filter_repo_id([entry['source']])
            query.filter_latest_evr()
            if query.empty():
                raise Failed('no-package', '', '%s in %s' % (name, entry['source']))
            for pkg in query:
                if version(pkg) not in there:
                    goal.add_rpm_install(pkg)
    for name in ask.get('remove') or []:
        found = named(name)
        if not found:
            inactive.append({'request': name, 'by': None})
        for pkg in found:
            goal.add_rpm_remove(pkg)
    return inactive

def resolve(base):
    goal = Goal(base)
    goal.set_allow_erasing(bool(ask.get('remove')))
    inactive = mark(base, goal)
    transaction = goal.resolve()
    if transaction.get_problems() != libdnf5.base.GoalProblem_NO_PROBLEM:
        explain(transaction)
    comes, goes = [], []
    for item in transaction.get_transaction_packages():
        coming = libdnf5.transaction.transaction_item_action_is_inbound(item.get_action())
        (comes if coming else goes).append(item.get_package())
    return inactive, comes, goes

def explain(transaction):
    missing = (libdnf5.base.GoalProblem_NOT_FOUND, libdnf5.base.GoalProblem_NOT_FOUND_IN_REPOSITORIES)
    asked = ask.get('install') or []
    for event in transaction.get_resolve_logs():
        spec = event.get_spec()
        if event.get_problem() in missing:
            # Of a group it is told without its sign.
            raise Failed('no-package', '', '@' + spec if '@' + spec in asked or '@^' + spec in asked else spec)
        if event.get_problem() == libdnf5.base.GoalProblem_EXCLUDED:
            raise Failed('excluded', '', event.get_spec())
    lines = [line.strip(' -\t') for text in transaction.get_resolve_logs_as_strings() for line in text.splitlines()]
    raise Failed('conflict', '\n'.join(line for line in lines if line))

def keys_of(base, repos, folder):
    """The keys that packages of these repositories are signed with, as files."""
    found = {}
    for repo in repos:
        found[repo.get_id()] = []
        for url in repo.get_config().gpgkey:
            path = os.path.join(folder, 'key-%s' % hashlib.sha256(url.encode()).hexdigest()[:16])
            if url.startswith('file://'):
                with open(url[len('file://'):], 'rb') as source, open(path, 'wb') as file:
                    file.write(source.read())
            else:
                downloader = libdnf5.repo.FileDownloader(base)
                downloader.add(repo.get_weak_ptr(), url, path)
                downloader.download()
            found[repo.get_id()].append(path)
    return found

def advisories(base, names):
    """What the repositories say of the very packages named."""
    found = {}
    for one in libdnf5.advisory.AdvisoryQuery(base):
        for collection in one.get_collections():
            for pkg in collection.get_packages():
                name = '%s-%s.%s' % (pkg.get_name(), pkg.get_evr(), pkg.get_arch())
                if name not in names:
                    continue
                entry = found.setdefault(one.get_name(), {
                    'id': one.get_name(), 'kind': one.get_type() if one.get_type() in ('security', 'bugfix', 'enhancement', 'newpackage') else 'unknown',
                    'severity': (one.get_severity() or '').lower(), 'packages': [],
                    'references': [{'url': ref.get_url() or '', 'title': ref.get_title() or ref.get_id() or ''} for ref in one.get_references() if ref.get_type() == 'cve'],
                })
                if name not in entry['packages']:
                    entry['packages'].append(name)
    return sorted(found.values(), key=lambda one: one['id'])

def fetched(base, packages):
    """Downloads packages: where each is, and the keys they have to be signed with."""
    remote = [pkg for pkg in packages if pkg.get_repo().get_type() != Repo.Type_COMMANDLINE]
    # All at once and without a word: callbacks of Python's end the process (libdnf5 5.4).
    downloader = libdnf5.repo.PackageDownloader(base)
    for pkg in remote:
        downloader.add(pkg)
    try:
        downloader.download()
    except RuntimeError as error:
        raise Failed('network', reason(error))
    for number, pkg in enumerate(remote):
        print('fetched %d %d %s' % (number + 1, len(remote), nevra(pkg)), file=sys.stderr, flush=True)
    repos = {pkg.get_repo_id(): pkg.get_repo() for pkg in remote}
    checked = [repos[name] for name in sorted(repos) if repos[name].get_config().pkg_gpgcheck]
    return {
        'keys': keys_of(base, checked, ask['cachedir']),
        'installed': [dict(described(pkg), path=pkg.get_package_path()) for pkg in packages],
    }

def searched(base):
    names, summaries, text = set(), set(), {}
    query = available(base)
    query.filter_latest_evr()
    words = [word.lower() for word in ask['words']]
    for pkg in query:
        if pkg.get_arch() in ('src', 'nosrc'):
            continue
        name, summary = pkg.get_name(), pkg.get_summary() or ''
        if all(word in name.lower() for word in words):
            names.add(name)
        if all(word in summary.lower() for word in words):
            summaries.add(name)
        text[name] = summary
    return matches(names, summaries, text)

def reason(error):
    return ' '.join(str(error).split())

def chosen(base, name, wanted):
    query = available(base)
    query.filter_name([name])
    if not wanted:
        query.filter_latest_evr()
    return [pkg for pkg in query if not wanted or version(pkg) == wanted]
${DNF_MAIN}
try:
    answer(main())
except Failed as error:
    answer({'error': error.value})
except OSError as error:
    answer({'error': {'kind': 'no-space' if error.errno == 28 else 'failed', 'message': str(error), 'subject': None}})
except RuntimeError as error:
    answer({'error': {'kind': 'failed', 'message': reason(error), 'subject': None}})
`;
