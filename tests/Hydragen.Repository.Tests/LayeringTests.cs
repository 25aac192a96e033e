using System.Xml.Linq;

namespace Hydragen.Repository.Tests;

public sealed class LayeringTests
{
    /// <summary>What each project may reference directly; the picture is in docs/architecture.md.</summary>
    private static readonly Dictionary<string, string[]> MayReference = new()
    {
        ["Hydragen.Core"] = [],
        ["Hydragen.Text"] = [],
        ["Hydragen.Cpu"] = ["Hydragen.Core"],
        ["Hydragen.Cuda"] = ["Hydragen.Core"],
        ["Hydragen.Models"] = ["Hydragen.Core", "Hydragen.Text"],
        ["Hydragen.Engine"] = ["Hydragen.Models", "Hydragen.Core", "Hydragen.Text"],
        ["Hydragen"] = ["Hydragen.Engine", "Hydragen.Cpu"],
        ["Hydragen.Cli"] = ["Hydragen", "Hydragen.Cuda"],
    };

    /// <summary>Which packages each project may use; none where it is not listed.</summary>
    private static readonly Dictionary<string, string[]> MayUsePackages = new()
    {
        ["Hydragen.Cpu"] = ["Iced"],
        ["Hydragen.Cli"] = ["System.CommandLine", "Spectre.Console"],
    };

    [Fact]
    public void Projects_reference_only_what_the_architecture_allows()
    {
        string[] files = Directory.GetFiles(Path.Combine(Repository.Root, "src"), "*.csproj", SearchOption.AllDirectories);
        Assert.Equal(MayReference.Keys.Order(), files.Select(file => Path.GetFileNameWithoutExtension(file)).Order());
        foreach (string file in files)
        {
            string project = Path.GetFileNameWithoutExtension(file);
            XDocument xml = XDocument.Load(file);
            foreach (string reference in xml.Descendants("ProjectReference").Select(item => item.Attribute("Include")!.Value))
                Assert.Contains(Path.GetFileNameWithoutExtension(reference.Replace('\\', '/')), MayReference[project]);
            foreach (string package in xml.Descendants("PackageReference").Select(item => item.Attribute("Include")!.Value))
                Assert.Contains(package, MayUsePackages.GetValueOrDefault(project, []));
        }
    }

    [Fact]
    public void Libraries_do_not_write_to_the_console()
    {
        foreach (string file in Directory.GetFiles(Path.Combine(Repository.Root, "src"), "*.cs", SearchOption.AllDirectories))
        {
            if (file.Contains("Hydragen.Cli", StringComparison.Ordinal)) continue;
            Assert.DoesNotContain("Console.", File.ReadAllText(file), StringComparison.Ordinal);
        }
    }

    [Fact]
    public void Every_project_is_in_the_solution()
    {
        string solution = Repository.Read("Hydragen.slnx");
        foreach (string folder in (string[])["src", "tests"])
        {
            foreach (string file in Directory.GetFiles(Path.Combine(Repository.Root, folder), "*.csproj", SearchOption.AllDirectories))
                Assert.Contains(Path.GetRelativePath(Repository.Root, file).Replace('\\', '/'), solution, StringComparison.Ordinal);
        }
    }
}
