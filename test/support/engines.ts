/** A test that fails on an engine because of what the engine lacks. `docs/engines.md` has this table for readers. */
export type Difference = Readonly<{
  /** Its name, or what the names of several have in common. */
  test: string | RegExp
  why: string
  /** It can also pass: the engine decides by chance. */
  sometimes?: true
}>

export type TestEngine = Readonly<{
  what: string
  /** Of test/host, without `.test.ts`. */
  files: readonly string[]
  differences: readonly Difference[]
}>

const client = [
  'docker-containers',
  'docker-example',
  'docker-images',
  'docker-registry',
  'docker-streams',
  'docker-system',
]

/** The engines of `scripts/engines`, and what to run on them. */
export const engines: Readonly<Record<string, TestEngine>> = {
  sid: {
    what: "the docker.io of Debian's next release",
    files: [
      ...client,
      'docker-restart',
      'context-build',
      'world',
      'deploy-ownership',
      'deploy-directives',
      'deploy-failures',
      'push',
    ],
    differences: [],
  },
  podman: {
    what: "Podman's compatible API",
    // A mypaas server refuses Podman, so only the client's.
    files: client,
    differences: [
      {
        test: /^(?:swarm|nodes|services|tasks|configs)\.\w+ on an engine that is in no swarm says so$/,
        why: 'It has no swarm, and says so in other words.',
      },
      { test: /^secrets\.\w+ on an engine that is in no swarm says so$/, why: 'It has secrets without a swarm.' },
      {
        test: 'to leave, to unlock, or to join no swarm is an error',
        why: 'It has no swarm: to join one is a status 503.',
      },
      { test: 'plugins are listed; one that is not there is an error of each call', why: 'It has no plugins.' },
      { test: 'the stream for gRPC opens, and speaks HTTP/2', why: 'It has no BuildKit.' },
      { test: 'a build is cancelled by its id', why: 'It can not cancel builds.' },
      {
        test: /^(?:buildkit|classic): a build that is aborted, or no longer read, stops on the engine$/,
        why: 'A command that runs in a build goes on when the client has left.',
      },
      {
        test: /^(?:buildkit|classic): steps, logs, arguments, labels, target, tags$/,
        why: 'Its builds do not tell stdout and stderr apart.',
      },
      {
        test: /^what needs a build session/,
        why: 'It has other words for a secret that is missing.',
      },
      {
        test: 'limits and the restart policy are changed while it runs',
        why: 'Its compatible API has no update before version 5.',
      },
      { test: 'its processes are told', why: 'It does not split the columns of ps.' },
      { test: 'files do not go into a directory that is not there', why: 'It makes the directory.' },
      {
        test: 'a refusal that comes in the middle of a large upload is told',
        why: 'It breaks off with a status 500 and "broken pipe".',
      },
      {
        test: 'a name that is taken, an image that is missing and a config that is wrong are told apart',
        why: 'It takes a memory limit of 1 byte; only the start fails.',
      },
      {
        test: 'an image goes to a registry and comes back, with the login of the docker command',
        why: 'It has no /distribution.',
      },
      { test: 'prunes take only what the filter says', why: 'It names what it removed without "sha256:".' },
      { test: 'the use of the disk is told', why: 'It does not add up the layers.' },
      {
        test: 'a network is made, listed, inspected, joined, left and removed',
        why: 'Its internal networks have no DNS.',
      },
      { test: 'a WebSocket carries input and output', why: 'It has no attach by WebSocket.' },
      {
        test: 'exec: the same in its parts, with a terminal',
        why: 'A second resize of a terminal may be lost.',
        sometimes: true,
      },
      {
        test: /^(?:20 MB of log lines come whole|logs tell both streams apart, .*)$/,
        why: 'Followed logs may end with the container, before all of them are sent.',
        sometimes: true,
      },
      {
        test: 'events tell a container’s life in order, live and afterwards',
        why: 'It calls the event of a removal remove, not destroy.',
      },
    ],
  },
}
