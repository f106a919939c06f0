#!/bin/sh
# room.sh FOLDER ADDRESSES COMMAND...: runs COMMAND in the namespaces that unshare made, as in a pod of its own.
#   FOLDER/bin/envoy lies at /usr/local/bin/envoy, FOLDER/hosts and FOLDER/resolv.conf in /etc; FOLDER/root is where it runs.
#   ADDRESSES, such as 10.3.3.3/24,2001:db8::5/64, are those of eth0.
set -e
folder=$1 addresses=$2
shift 2
mount -t overlay overlay -o "lowerdir=$folder/bin:/usr/local/bin" /usr/local/bin
mount --bind "$folder/hosts" /etc/hosts
mount --bind "$folder/resolv.conf" /etc/resolv.conf
ip link set lo up
ip link add eth0 type veth peer name eth0-peer # an interface without a carrier does not count
for address in $(echo "$addresses" | tr , ' '); do
  case $address in
  *:*) ip address add "$address" dev eth0 nodad ;;
  *) ip address add "$address" dev eth0 ;;
  esac
done
ip link set eth0 up
ip link set eth0-peer up
cd "$folder/root"
exec "$@"
