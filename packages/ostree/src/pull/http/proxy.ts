/** Where requests go by way of: from the remote's `proxy`, else as curl reads the environment. */
export interface ProxySettings {
  /** The remote's own; '' means none whatever the environment says. */
  remote?: string | undefined;
  http?: string | undefined;
  https?: string | undefined;
  all?: string | undefined;
  /** Hosts to reach directly: names (and what is below them), addresses, or `*`. */
  none?: string | undefined;
}

function direct(url: URL, none: string): boolean {
  const host = url.hostname.replace(/^\[(.*)\]$/, '$1').toLowerCase();
  return none.split(/[\s,]+/).some((entry) => {
    const [name, port] = entry
      .toLowerCase()
      .replace(/^\./, '')
      .split(/:(?=\d+$)/);
    if (name === undefined || name === '') return false;
    if (port !== undefined && port !== (url.port || (url.protocol === 'https:' ? '443' : '80'))) return false;
    return name === '*' || host === name || host.endsWith(`.${name}`);
  });
}

/** The proxy for requests to `url`, or null. Throws TypeError for a setting that is no http or https URL. */
export function proxyFor(url: URL, settings: ProxySettings): URL | null {
  let text = settings.remote;
  if (text === undefined) {
    if (settings.none !== undefined && direct(url, settings.none)) return null;
    text = (url.protocol === 'https:' ? settings.https : settings.http) ?? settings.all;
  }
  if (text === undefined || text === '') return null;
  const proxy = URL.parse(text.includes('://') ? text : `http://${text}`);
  if (proxy === null || (proxy.protocol !== 'http:' && proxy.protocol !== 'https:')) {
    throw new TypeError(`the proxy ${text} is neither an http nor an https URL`);
  }
  return proxy;
}
