"""What is installed, by cmake and by Debian's package: everything is where it is looked for, and runs there."""
import pathlib
import shutil
import subprocess
import tempfile
import unittest

from engine import BUILD, PATIENCE

FILES = {"bin/reprise", "bin/reprised", "share/man/man1/reprise.1", "share/man/man8/reprised.8", "share/man/man5/reprised.conf.5",
         "share/bash-completion/completions/reprise", "share/bash-completion/completions/reprised", "share/zsh/vendor-completions/_reprise",
         "lib/systemd/system/reprised.service", "include/reprise.h"}


def output(*command, **more):
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=10 * PATIENCE, **more).stdout


class InstallTest(unittest.TestCase):
    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="reprise-test-"))
        self.addCleanup(shutil.rmtree, self.folder)

    def check(self, root, prefix):
        """What is under `root` and is meant for `prefix`."""
        installed = {str(path.relative_to(root)) for path in root.rglob("*") if path.is_file()}
        self.assertLessEqual(FILES, installed)
        for program in ("reprise", "reprised"):
            self.assertRegex(output(root / "bin" / program, "--version"), rf"^{program} \d+\.\d+\.\d+\n$")
        self.assertIn(f"\nExecStart={prefix}/bin/reprised ", (root / "lib/systemd/system/reprised.service").read_text())

    def test_cmake_installs_everything_below_the_prefix_that_it_is_told(self):
        output("cmake", "--install", str(BUILD), "--prefix", str(self.folder))
        self.check(self.folder, self.folder)

    @unittest.skipUnless(shutil.which("dpkg-shlibdeps") and shutil.which("file"), "Debian's tools for packages are not there")
    def test_a_package_for_debian_has_everything_and_says_what_it_needs(self):
        output("cpack", "--config", str(BUILD / "CPackConfig.cmake"), "-B", str(self.folder))
        package = next(self.folder.glob("reprise_*.deb"))
        architecture = output("dpkg", "--print-architecture").strip()
        version = output("dpkg-deb", "-f", package, "Version").strip()
        self.assertEqual(package.name, f"reprise_{version}_{architecture}.deb")
        depends = output("dpkg-deb", "-f", package, "Depends")
        for library in ("libc6", "libzmq5", "libczmq4", "libsqlite3-0", "libgrpc29", "libjansson4"):
            self.assertIn(library, depends)
        self.assertIn("systemctl", output("dpkg-deb", "-I", package, "prerm"))
        root = self.folder / "root"
        output("dpkg-deb", "-x", package, root)
        self.check(root / "usr", "/usr")


if __name__ == "__main__":
    unittest.main()
