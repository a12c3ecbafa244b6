# A customize hook of mmdebstrap: fetches the newest cloud kernel with the package lists that are there anyway.
# apt checks its digest against the signed lists. It is not installed: its scripts have no business in the image.
set -eu
export APT_CONFIG="$MMDEBSTRAP_APT_CONFIG"
cd "$PYRO_KERNEL_FOLDER"
package=$(apt-cache show --no-all-versions linux-image-cloud-amd64 | sed -n 's/^Depends: *\([^ ,]*\).*/\1/p')
apt-get --quiet --option APT::Sandbox::User=root download "$package"
