// An identity provider and OAuth 2.1 authorization server: the npm package `oidc-provider` with what a file says of its
// clients, people and resources.
//
// usage: provider.mjs NODE_MODULES CONFIG
//
// CONFIG is one JSON object:
//   port             where it listens; the issuer is http://127.0.0.1:PORT
//   clients          client metadata as of RFC 7591; where `redirect_uris` and more are missing, it gets none
//   people           {SUB: {claims of that person}}; whoever is named at the log-in page is logged in, without a password
//   signed_in        the SUB of somebody who is logged in already and sees no page
//   resources        {URL: {"scope": "a b", "seconds": 300, "format": "jwt" or "opaque"}}, by resource indicator (RFC 8707)
//   refresh_rotates  whether a refresh token is good once; true unless told
//   registration     whether clients may register themselves (RFC 7591)
//
// What it has: code with PKCE, refresh, client credentials, device code, resource indicators, introspection, revocation, DPoP,
// userinfo, and token exchange of its own ID tokens for ID-JAGs (draft-ietf-oauth-identity-assertion-authz-grant).
// POST /sign {"header": …, "claims": …} gives a token signed as they say: what a CI system or a SPIFFE server would sign.
//
// The first line that it says is {"issuer": …}: it listens.

import { createHash, generateKeyPairSync, randomUUID, sign } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';

const [modules, file] = process.argv.slice(2);
const config = JSON.parse(readFileSync(file, 'utf8'));
// What the library has to remark is not what whoever started this waits for.
console.info = console.log = console.warn = console.error;
const { Provider, errors } = await import(pathToFileURL(join(modules, 'oidc-provider/lib/index.js')));

const issuer = `http://127.0.0.1:${config.port}`;
const people = config.people ?? {};
const resources = config.resources ?? {};
const ID_JAG = 'urn:ietf:params:oauth:token-type:id-jag';
const ID_TOKEN = 'urn:ietf:params:oauth:token-type:id_token';
const EXCHANGE = 'urn:ietf:params:oauth:grant-type:token-exchange';
const ID_JAG_SECONDS = 300;

const keys = Object.fromEntries([
  ['RS256', generateKeyPairSync('rsa', { modulusLength: 2048 })],
  ['ES256', generateKeyPairSync('ec', { namedCurve: 'P-256' })],
  ['EdDSA', generateKeyPairSync('ed25519')],
].map(([alg, { privateKey }]) => [alg, privateKey]));
const jwks = {
  keys: Object.entries(keys).map(([alg, key]) => ({ ...key.export({ format: 'jwk' }), alg, kid: alg, use: 'sig' })),
};

function b64(value) {
  return Buffer.from(typeof value === 'string' ? value : JSON.stringify(value)).toString('base64url');
}

// A signed token. With `alg` none, or a key that is not of the algorithm, it is what a forger would make.
function token(header, claims) {
  const now = Math.floor(Date.now() / 1000);
  const whole = { alg: 'RS256', kid: header.alg ?? 'RS256', ...header };
  const text = `${b64(whole)}.${b64({ iss: issuer, iat: now, exp: now + ID_JAG_SECONDS, jti: randomUUID(), ...claims })}`;
  if (whole.alg === 'none') return `${text}.`;
  const key = keys[whole.alg] ?? keys.RS256;
  const digest = key.asymmetricKeyType === 'ed25519' ? null : 'sha256';
  return `${text}.${sign(digest, Buffer.from(text), { key, dsaEncoding: 'ieee-p1363' }).toString('base64url')}`;
}

const provider = new Provider(issuer, {
  clients: (config.clients ?? []).map((client) => ({ redirect_uris: [], response_types: [], ...client })),
  jwks,
  claims: { openid: ['sub'], email: ['email', 'email_verified'], profile: ['name', 'preferred_username'], groups: ['groups'] },
  scopes: ['openid', 'offline_access', 'email', 'profile', 'groups'],
  conformIdTokenClaims: false,
  cookies: { keys: [randomUUID()] },
  pkce: { required: () => true },
  rotateRefreshToken: config.refresh_rotates ?? true,
  issueRefreshToken: async (_, client) => client.grantTypeAllowed('refresh_token'),
  expiresWithSession: async () => false,
  async findAccount(_, sub) {
    return people[sub] && { accountId: sub, claims: async () => ({ sub, ...people[sub] }) };
  },
  // Everything that is asked for is granted: the question is put to people elsewhere.
  async loadExistingGrant(ctx) {
    const { client, session, params, resourceServers } = ctx.oidc;
    const grant = new provider.Grant({ clientId: client.clientId, accountId: session.accountId });
    grant.addOIDCScope(params.scope ?? 'openid');
    for (const [url, server] of Object.entries(resourceServers ?? {})) grant.addResourceScope(url, server.scope);
    await grant.save();
    return grant;
  },
  interactions: { url: (_, interaction) => `/interaction/${interaction.uid}` },
  features: {
    devInteractions: { enabled: false },
    clientCredentials: { enabled: true },
    deviceFlow: { enabled: true },
    introspection: { enabled: true, allowedPolicy: async () => true },
    revocation: { enabled: true, allowedPolicy: async () => true },
    registration: { enabled: config.registration ?? false },
    dPoP: { enabled: true },
    resourceIndicators: {
      enabled: true,
      defaultResource: async (_, __, oneOf) => oneOf,
      useGrantedResource: async () => true,
      async getResourceServerInfo(_, url) {
        const known = resources[url];
        if (!known) throw new errors.InvalidTarget();
        return { scope: known.scope ?? '', audience: url, accessTokenTTL: known.seconds ?? 300, accessTokenFormat: known.format ?? 'jwt' };
      },
    },
  },
});

provider.registerGrantType(EXCHANGE, async (ctx) => {
  const { client, params } = ctx.oidc;
  if (params.requested_token_type !== ID_JAG || params.subject_token_type !== ID_TOKEN || !params.audience) {
    throw new errors.InvalidRequest('an ID-JAG is given for an ID token, to an audience');
  }
  let subject;
  try {
    subject = await provider.IdToken.validate(params.subject_token, client);
  } catch {
    throw new errors.InvalidGrant('the ID token is not accepted');
  }
  const { sub } = subject.payload;
  const claims = { sub, aud: params.audience, client_id: client.clientId, ...people[sub] };
  for (const name of ['resource', 'scope']) if (params[name]) claims[name] = params[name];
  ctx.body = {
    access_token: token({ typ: 'oauth-id-jag+jwt' }, claims),
    issued_token_type: ID_JAG,
    token_type: 'N_A',
    expires_in: ID_JAG_SECONDS,
  };
}, ['subject_token', 'subject_token_type', 'requested_token_type', 'audience', 'resource', 'scope'], ['resource']);

async function body(req) {
  const chunks = [];
  for await (const chunk of req) chunks.push(chunk);
  return Buffer.concat(chunks).toString();
}

// The pages that are ours: the log-in, and the signing of what others would sign.
provider.use(async (ctx, next) => {
  if (ctx.method === 'POST' && ctx.path === '/sign') {
    const { header = {}, claims = {} } = JSON.parse(await body(ctx.req));
    ctx.body = { token: token(header, claims) };
    return;
  }
  if (!ctx.path.startsWith('/interaction/')) return next();
  const { prompt } = await provider.interactionDetails(ctx.req, ctx.res);
  if (prompt.name === 'consent') {
    // Whoever asks for the question gets it, and the answer is yes.
    await provider.interactionFinished(ctx.req, ctx.res, { consent: {} }, { mergeWithLastSubmission: true });
    ctx.respond = false;
    return;
  }
  const named = ctx.method === 'POST' ? new URLSearchParams(await body(ctx.req)).get('login') : config.signed_in;
  if (people[named]) {
    await provider.interactionFinished(ctx.req, ctx.res, { login: { accountId: named } });
    ctx.respond = false;
    return;
  }
  ctx.type = 'html';
  ctx.body = '<!doctype html><title>Log in</title><form method="post"><input name="login"><button>Log in</button></form>';
});
provider.on('server_error', (_, error) => console.error(error));

provider.listen(config.port, '127.0.0.1', () => process.stdout.write(`${JSON.stringify({ issuer })}\n`));
process.on('SIGTERM', () => process.exit(0));
