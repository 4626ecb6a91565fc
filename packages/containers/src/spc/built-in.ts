/**
 * The super-privileged containers the field knows, as files of one's own would be written. What each mounts is what it
 * needs: its configuration and where it writes.
 */
export const BUILT_IN: Readonly<Record<string, string>> = {
  tools: `
description: tools of an administrator, with the machine under /host
run: >-
  docker run -it --name NAME --privileged --ipc=host --net=host --pid=host
  -e HOST=/host -e NAME=NAME -e IMAGE=IMAGE
  -v /run:/run -v /var/log:/var/log -v /etc/localtime:/etc/localtime -v /:/host IMAGE
`,
  rsyslog: `
description: writes the log of the machine
name: rsyslog
install: >-
  docker run --rm --privileged -v /:/host
  -e HOST=/host -e IMAGE=IMAGE -e NAME=NAME IMAGE /bin/install.sh
run: >-
  docker run -d --privileged --name NAME --net=host --pid=host
  -v /etc/pki/rsyslog:/etc/pki/rsyslog -v /etc/rsyslog.conf:/etc/rsyslog.conf
  -v /etc/sysconfig/rsyslog:/etc/sysconfig/rsyslog -v /etc/rsyslog.d:/etc/rsyslog.d
  -v /var/log:/var/log -v /var/lib/rsyslog:/var/lib/rsyslog -v /run:/run
  -v /etc/machine-id:/etc/machine-id:ro -v /etc/localtime:/etc/localtime:ro
  -e IMAGE=IMAGE -e NAME=NAME --restart=always IMAGE /bin/rsyslog.sh
uninstall: >-
  docker run --rm --privileged -v /:/host
  -e HOST=/host -e IMAGE=IMAGE -e NAME=NAME IMAGE /bin/uninstall.sh
`,
  sadc: `
description: notes how busy the machine is (sysstat)
name: sadc
install: >-
  docker run --rm --privileged --name NAME -v /:/host
  -e HOST=/host -e IMAGE=IMAGE -e NAME=NAME IMAGE /usr/local/bin/sysstat-install.sh
run: >-
  docker run -d --privileged --name NAME
  -v /etc/sysconfig/sysstat:/etc/sysconfig/sysstat -v /etc/sysconfig/sysstat.ioconf:/etc/sysconfig/sysstat.ioconf
  -v /var/log/sa:/var/log/sa -v /:/host
  -e HOST=/host -e IMAGE=IMAGE -e NAME=NAME --net=host --restart=always IMAGE /usr/local/bin/sysstat.sh
`,
};
