#!/bin/sh
# As the first process of its container it must end by itself when it is asked to.
trap 'exit 0' TERM
mkdir -p /tmp/www
echo "hello $RECEIVER" > /tmp/www/index.html
httpd -f -p "$PORT" -h /tmp/www &
wait
