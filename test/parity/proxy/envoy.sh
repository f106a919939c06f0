#!/bin/sh
# Stands in Envoy's place: notes in the folder @record@ how it was started, then ends with @code@. To --version it answers
# as Envoy does, because pilotboat asks a program that ended at once whether it is one.
if [ "$1" = --version ]; then
  echo
  echo "$0  version: 0000000000000000000000000000000000000000/1.38.3/Clean/RELEASE/BoringSSL"
  exit 0
fi
for file in cmdline environ status; do cp "/proc/$$/$file" @record@/$file; done
find /proc/$$/fd -type l ! -name 10 -fprintf @record@/descriptors '%f %l\n' # 10: this script
readlink /proc/$$/cwd >@record@/cwd
umask >@record@/umask
previous=
for word; do
  [ "$previous" != -c ] || cp "$word" @record@/bootstrap
  previous=$word
done
find @root@ -mindepth 1 -printf '%y %m %P\n' >@record@/files
touch @record@/complete
@wait@
exit @code@
