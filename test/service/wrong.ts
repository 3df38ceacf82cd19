/** A Dockerfile that can't be followed, and every line of the error that says so. */
export type Wrong = Readonly<{ title: string; dockerfile: string; errors: readonly string[] }>

export const wrong: readonly Wrong[] = [
  {
    title: 'nothing in it',
    dockerfile: '',
    errors: ['Dockerfile:1: No line says what the service is called. Add one at the top: # mypaas.service = NAME'],
  },
  {
    title: 'no directive',
    dockerfile: 'FROM nginx\nCOPY . /usr/share/nginx/html\n',
    errors: ['Dockerfile:1: No line says what the service is called. Add one at the top: # mypaas.service = NAME'],
  },
  {
    title: 'no name',
    dockerfile: '# mypaas.url = https://example.com\nFROM nginx\n',
    errors: ['Dockerfile:1: No line says what the service is called. Add one at the top: # mypaas.service = NAME'],
  },
  {
    title: 'a misspelt key',
    dockerfile: '# mypaas.servce = blog\nFROM nginx\n',
    errors: [
      'Dockerfile:1: mypaas.servce: there is no such directive. Did you mean mypaas.service? There are service, url, volume, env, port, publish, scale, healthcheck, start_timeout, grace, maxcpu and maxmem',
    ],
  },
  {
    title: "another tool's key",
    dockerfile: '# mypaas.service = blog\n# mypaas.domain = example.com\nFROM nginx\n',
    errors: [
      'Dockerfile:2: mypaas.domain: there is no such directive. Did you mean mypaas.url? There are service, url, volume, env, port, publish, scale, healthcheck, start_timeout, grace, maxcpu and maxmem',
    ],
  },
  {
    title: 'a key without a value',
    dockerfile: '# mypaas.service = blog\n# mypaas.url =\n# mypaas.port\nFROM nginx\n',
    errors: [
      'Dockerfile:2: mypaas.url: it has no value. Give it one, or turn the line off: #--- mypaas.url =',
      'Dockerfile:3: mypaas.port: the line has no = and no value. Write # mypaas.port = VALUE, or turn the line off: #--- mypaas.port',
    ],
  },
  {
    title: 'a name that can be none',
    dockerfile: '# mypaas.service = My App\nFROM nginx\n',
    errors: [
      'Dockerfile:1: mypaas.service: "My App" can\'t be the name of a service: only a-z, 0-9 and . _ - may be in it. For example: mypaas.service = my-app',
    ],
  },
  {
    title: 'a reserved name',
    dockerfile: '# mypaas.service = traefik\nFROM nginx\n',
    errors: [
      'Dockerfile:1: mypaas.service: "traefik" can\'t be the name of a service: mypaas itself uses that name. For example: mypaas.service = traefik-app',
    ],
  },
  {
    title: 'two names',
    dockerfile: '# mypaas.service = blog\nFROM nginx\n# mypaas.service = shop\n',
    errors: ['Dockerfile:3: mypaas.service: line 1 has it already. Keep one of them'],
  },
  {
    title: 'URLs without scheme, with too much, or with what no host has',
    dockerfile:
      '# mypaas.service = blog\n# mypaas.url = example.com\n# mypaas.url = https://me:pw@example.com:8443/a?b=c#d\n# mypaas.url = https://exa_mple.com\n# mypaas.url = https://bücher.example\n# mypaas.url = ftp://example.com/x\nFROM nginx\n',
    errors: [
      'Dockerfile:2: mypaas.url: "example.com" starts with neither https:// nor http://. For example: mypaas.url = https://example.com',
      'Dockerfile:3: mypaas.url: too precise: a service\'s URL is a host and a path, and this one has a user name, a port (":8443"), a query ("?b=c") and a fragment ("#d"). Write https://example.com/a',
      'Dockerfile:4: mypaas.url: the host "exa_mple.com" has a part ("exa_mple") with other characters than a-z, 0-9 and -',
      'Dockerfile:5: mypaas.url: the host "bücher.example" has characters other than A-Z, 0-9 and -. Write it in the form that is used on the wire: xn--bcher-kva.example',
      'Dockerfile:6: mypaas.url: "ftp://example.com/x" starts with neither https:// nor http://. For example: mypaas.url = https://example.com/x',
    ],
  },
  {
    title: 'a URL that would be a rule of the router',
    dockerfile:
      '# mypaas.service = blog\n# mypaas.url = https://a`)||HostRegexp(`.+\n# mypaas.url = https://example.com/{{env"HOME"}}\nFROM nginx\n',
    errors: [
      'Dockerfile:2: mypaas.url: the host "a`)||HostRegexp(`.+" has a part ("a`)||hostregexp(`") with other characters than a-z, 0-9 and -',
      'Dockerfile:3: mypaas.url: the path "/{{env"HOME"}}" has other characters than A-Z a-z 0-9 . _ ~ - /',
    ],
  },
  {
    title: 'one URL twice',
    dockerfile:
      '# mypaas.service = blog\n# mypaas.url = https://example.com/\n# mypaas.url = https://EXAMPLE.com\nFROM nginx\n',
    errors: ['Dockerfile:3: mypaas.url: https://example.com is in line 2 already. Keep one of them'],
  },
  {
    title: 'volumes that reach too far',
    dockerfile:
      '# mypaas.service = blog\n# mypaas.volume = ~:/home\n# mypaas.volume = ~/.ssh/authorized_keys:/keys\n# mypaas.volume = ~/_mypaas:/m\n# mypaas.volume = ~/data/../.ssh:/keys\n# mypaas.volume = /:/host\nFROM nginx\n',
    errors: [
      'Dockerfile:2: mypaas.volume: the home directory as a whole is not mounted: it has keys and secrets in it. Give a directory below it: ~/blog/data',
      "Dockerfile:3: mypaas.volume: ~/.ssh is not mounted: the server's SSH keys are there. Give another directory below the home: ~/blog/data",
      'Dockerfile:4: mypaas.volume: ~/_mypaas is not mounted: the secrets and keys of mypaas are there. Give another directory below the home: ~/blog/data',
      'Dockerfile:5: mypaas.volume: the path "~/data/../.ssh" has a part "." or "..". Write it without',
      'Dockerfile:6: mypaas.volume: the root of the file system is not mounted. Give a directory below the home: ~/blog/data',
    ],
  },
  {
    title: 'volumes that are none',
    dockerfile:
      '# mypaas.service = blog\n# mypaas.volume = /data\n# mypaas.volume = ./data:/data\n# mypaas.volume = ~/data:data\n# mypaas.volume = ~/data:/data:x\n# mypaas.volume = ~/a:/data\n# mypaas.volume = pgdata:/data/:ro\nFROM nginx\n',
    errors: [
      'Dockerfile:2: mypaas.volume: "/data" does not say what to mount where. Write SOURCE:TARGET, for example mypaas.volume = ~/NAME:/data (what is not in a named place is lost with the next release)',
      'Dockerfile:3: mypaas.volume: "./data" is neither a path that begins with ~/ or / nor the name of a volume. For a directory below the server\'s home: ~/data',
      'Dockerfile:4: mypaas.volume: "data", where to mount it in the container, is not an absolute path. Write /data',
      'Dockerfile:5: mypaas.volume: "x" is no option for a volume. There are ro, rw, z, Z, nocopy, cached, delegated, consistent, and private, slave, shared with or without an r in front',
      'Dockerfile:7: mypaas.volume: /data is in line 6 already. Keep one of them',
    ],
  },
  {
    title: 'variables',
    dockerfile:
      '# mypaas.service = blog\n# mypaas.env = FOO BAR=1\n# mypaas.env = FOO = bar\n# mypaas.env = MYPAAS_SCALE=2\n# mypaas.env = A=1\n# mypaas.env = A=2\n# mypaas.env = C="{"a": 1}"\nFROM nginx\n',
    errors: [
      'Dockerfile:2: mypaas.env: "FOO BAR" can\'t be the name of a variable. Write KEY=VALUE, or KEY alone for a value from the config of the server; a key has letters, digits and _',
      'Dockerfile:3: mypaas.env: "FOO " can\'t be the name of a variable. Write it without blanks around the =: mypaas.env = FOO=VALUE',
      "Dockerfile:4: mypaas.env: MYPAAS_SCALE can't be set: the names that begin with MYPAAS_ are for what mypaas tells the container",
      'Dockerfile:6: mypaas.env: A is in line 5 already. Keep one of them',
      'Dockerfile:7: mypaas.env: it is not clear which " belong to the value and which are around it. Leave the outer ones out, or use \' for them',
    ],
  },
  {
    title: 'ports',
    dockerfile:
      '# mypaas.service = blog\n# mypaas.port = 80/tcp\n# mypaas.publish = 80:99999\n# mypaas.publish = 127.0.0.1:80\n# mypaas.publish = 7000-7005:7000-7004\n# mypaas.publish = localhost:53:53/udp\nFROM nginx\n',
    errors: [
      'Dockerfile:2: mypaas.port: "80/tcp" is no port: it is a whole number from 1 to 65535. For example: mypaas.port = 80',
      'Dockerfile:3: mypaas.publish: "99999" is no port in the container. Ports are from 1 to 65535. For example: 8080:80, 127.0.0.1:5432:5432 or 5000-5010:5000-5010/udp',
      'Dockerfile:4: mypaas.publish: "127.0.0.1:80" has no port of the server. Write it between the two, 127.0.0.1:8080:80, or leave it to the engine, 127.0.0.1::80',
      'Dockerfile:5: mypaas.publish: "7000-7005:7000-7004" has 6 ports on the server for 5 in the container. Give two ranges of the same length',
      'Dockerfile:6: mypaas.publish: "localhost" is no IP address of the server. Write 127.0.0.1',
    ],
  },
  {
    title: 'one port of the server twice',
    dockerfile:
      '# mypaas.service = blog\n# mypaas.publish = 127.0.0.1:5432:5432\n# mypaas.publish = 5432:5433\nFROM postgres\n',
    errors: [
      'Dockerfile:3: mypaas.publish: 5432:5433 wants a port of the server that line 2 has already. Keep one of them',
    ],
  },
  {
    title: 'one port of the server for several containers',
    dockerfile: '# mypaas.service = blog\n# mypaas.scale = 3\n# mypaas.publish = 8080:80\nFROM nginx\n',
    errors: [
      "Dockerfile:3: mypaas.publish: 3 containers (mypaas.scale) can't all have port 8080:80 of the server. Set mypaas.scale = 1, or leave the port to the engine: mypaas.publish = 80",
    ],
  },
  {
    title: 'scales',
    dockerfile: '# mypaas.service = blog\n# mypaas.scale = safe\nFROM nginx\n',
    errors: [
      'Dockerfile:2: mypaas.scale: the number of containers is missing. Write 1 safe for one container, 2 safe for two',
    ],
  },
  {
    title: 'a scale that is no number',
    dockerfile: '# mypaas.service = blog\n# mypaas.scale = two\nFROM nginx\n',
    errors: [
      'Dockerfile:2: mypaas.scale: "two" is neither a number of containers nor safe or roll. Write for example 2, 2 safe or 2 roll; 0 for one that does not scale',
    ],
  },
  {
    title: 'a scale of both kinds',
    dockerfile: '# mypaas.service = blog\n# mypaas.scale = 2 safe roll\nFROM nginx\n',
    errors: [
      'Dockerfile:2: mypaas.scale: safe and roll exclude each other. Write for example 2, 2 safe or 2 roll; 0 for one that does not scale',
    ],
  },
  {
    title: 'health checks',
    dockerfile: '# mypaas.service = blog\n# mypaas.healthcheck = status 10 2x\nFROM nginx\n',
    errors: [
      'Dockerfile:2: mypaas.healthcheck: the path "status" does not begin with /. For example: mypaas.healthcheck = /status 10s 2s',
      'Dockerfile:2: mypaas.healthcheck: the interval "10" is no duration. A number and its unit, ms, s, m or h: 10s',
      'Dockerfile:2: mypaas.healthcheck: the timeout "2x" is no duration. A number and its unit, ms, s, m or h: 10s',
    ],
  },
  {
    title: 'a health check in the wrong order',
    dockerfile: '# mypaas.service = blog\n# mypaas.healthcheck = /status 2s 10s\nFROM nginx\n',
    errors: [
      'Dockerfile:2: mypaas.healthcheck: the timeout (10s) is longer than the interval (2s). The interval stands first: /status 10s 2s',
    ],
  },
  {
    title: 'a time to start without a unit',
    dockerfile: '# mypaas.service = blog\n# mypaas.start_timeout = 90\nFROM nginx\n',
    errors: [
      'Dockerfile:2: mypaas.start_timeout: "90" is no duration. A number and its unit, s, m or h, for example: mypaas.start_timeout = 90s',
    ],
  },
  {
    title: 'limits',
    dockerfile: '# mypaas.service = blog\n# mypaas.maxcpu = 50%\n# mypaas.maxmem = 500\nFROM nginx\n',
    errors: [
      'Dockerfile:2: mypaas.maxcpu: "50%" is no number of CPUs. From 0.01 up, with at most three decimals, for example: mypaas.maxcpu = 0.5',
      'Dockerfile:3: mypaas.maxmem: "500" is 500 B, and the minimum is 6m. For example: mypaas.maxmem = 500m',
    ],
  },
  {
    title: 'an amount of memory that is none',
    dockerfile: '# mypaas.service = blog\n# mypaas.maxmem = half\nFROM nginx\n',
    errors: [
      'Dockerfile:2: mypaas.maxmem: "half" is no amount of memory. A number and its unit, k, m or g, for example: mypaas.maxmem = 500m',
    ],
  },
  {
    title: 'a label of mypaas',
    dockerfile: '# mypaas.service = blog\nFROM nginx\nLABEL maintainer=me \\\n  mypaas.service=shop\n',
    errors: [
      'Dockerfile:3: The label "mypaas.service" can\'t be set: labels that begin with mypaas. say what belongs to mypaas. Give it another name. Settings are comments: # mypaas.KEY = VALUE',
    ],
  },
  {
    title: 'capitals and strange blanks',
    dockerfile: '# MyPaas.service = blog\n# mypaas.url = https://example.com\nFROM nginx\n',
    errors: [
      'Dockerfile:1: mypaas.service: "# MyPaas.service" is not in lower case. Write # mypaas.service = …',
      'Dockerfile:2: mypaas.url: in "#\\u{a0}mypaas.url" is something like a blank that is neither space nor tab. Write the line anew',
    ],
  },
  {
    title: 'everything at once',
    dockerfile:
      '# mypaas.service = Blog\r\n# mypaas.prot = 8080\r\nFROM nginx\r\nRUN true \\\r\n  # mypaas.scale = 2 save\r\n  && true\r\n# mypaas.maxmem = 4m\r\n',
    errors: [
      'Dockerfile:1: mypaas.service: "Blog" can\'t be the name of a service: only a-z, 0-9 and . _ - may be in it. For example: mypaas.service = blog',
      'Dockerfile:2: mypaas.prot: there is no such directive. Did you mean mypaas.port? There are service, url, volume, env, port, publish, scale, healthcheck, start_timeout, grace, maxcpu and maxmem',
      'Dockerfile:5: mypaas.scale: "save" is neither a number of containers nor safe or roll. Write for example 2, 2 safe or 2 roll; 0 for one that does not scale',
      'Dockerfile:7: mypaas.maxmem: "4m" is 4.0 MiB, and the minimum is 6m. For example: mypaas.maxmem = 500m',
    ],
  },
]
