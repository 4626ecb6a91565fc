import { addCookie, type Cookie, deleteCookie, listCookies } from '@atomic/ostree';
import { formatDate } from './format.ts';
import { UsageError } from './options.ts';
import { COMMON, JSON_OPTION, openRepo, REPO, required, type Verb } from './verb.ts';

export const add: Verb = {
  args: 'NAME DOMAIN PATH COOKIE_NAME VALUE',
  summary: 'Add a cookie to remote',
  options: [REPO, ...COMMON],
  examples: ['ostree remote add-cookie --repo=repo origin .example.org /repo token 0123abcd'],
  async run(call) {
    const repo = openRepo(call);
    const [remote, domain, path, name, value] = call.args;
    if (
      remote === undefined ||
      domain === undefined ||
      path === undefined ||
      name === undefined ||
      value === undefined
    ) {
      throw new UsageError('NAME, DOMAIN, PATH, COOKIE_NAME and VALUE must be specified', true);
    }
    addCookie(repo, remote, { domain, path, name, value });
  },
};

export const remove: Verb = {
  args: 'NAME DOMAIN PATH COOKIE_NAME',
  summary: 'Remove one cookie from remote',
  options: [REPO, ...COMMON],
  examples: ['ostree remote delete-cookie --repo=repo origin .example.org /repo token'],
  async run(call) {
    const repo = openRepo(call);
    const [remote, domain, path, name] = call.args;
    if (remote === undefined || domain === undefined || path === undefined || name === undefined) {
      throw new UsageError('NAME, DOMAIN, PATH and COOKIE_NAME must be specified', true);
    }
    deleteCookie(repo, remote, { domain, path, name });
  },
};

const cookieText = ({ domain, path, name, secure, expires, value }: Cookie): string =>
  [
    '--',
    `Domain: ${domain}`,
    `Path: ${path}`,
    `Name: ${name}`,
    `Secure: ${secure ? 'TRUE' : 'FALSE'}`,
    `Expires: ${formatDate(expires)}`,
    `Value: ${value}`,
  ].join('\n');

export const list: Verb = {
  args: 'NAME',
  summary: 'Show remote repository cookies',
  options: [REPO, ...COMMON, JSON_OPTION],
  examples: ['ostree remote list-cookies --repo=repo origin'],
  async run(call) {
    const { ctx } = call;
    const repo = openRepo(call);
    const cookies = listCookies(repo, required(call.args[0], 'NAME must be specified'));
    if (ctx.json) ctx.printJson(cookies);
    else for (const cookie of cookies) ctx.print(cookieText(cookie));
  },
};
