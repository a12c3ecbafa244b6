# The first process of a sandbox. When it ends, the kernel kills everything else in the sandbox.
#
# stdin is the lifeline: its other end is held by pyro, so it closes when pyro closes it or ends, however it ends.
# stdout is the status channel: one line once the command has ended, even if its shell was killed (the pipe tells).
umask 022
{ ( "$@" </dev/null >&2; echo "exit $?" ) | ( read -r answer; echo "${answer:-killed}" ); } &
read -r _
