namespace Hydragen.Repository.Tests;

public sealed class ReadmeTests
{
    private const string DemoCommand = "dotnet run -c Release --project src/Hydragen.Cli -- demo";
    private const string TestCommand = "dotnet test -c Release";

    [Fact]
    public void The_two_commands_of_the_readme_are_the_ones_that_ci_runs()
    {
        string[] readme = Lines(Repository.Read("README.md"));
        string[] ci = Lines(Repository.Read(".ci/run"));
        Assert.Contains(readme, line => line == DemoCommand || line.StartsWith(DemoCommand + " ", StringComparison.Ordinal));
        Assert.Contains(readme, line => line == TestCommand || line.StartsWith(TestCommand + " ", StringComparison.Ordinal));
        Assert.Contains(ci, line => line.Contains(DemoCommand, StringComparison.Ordinal));
        Assert.Contains(ci, line => line.Contains(TestCommand, StringComparison.Ordinal));
    }

    [Fact]
    public void Files_that_the_readme_links_exist()
    {
        string readme = Repository.Read("README.md");
        int numLinks = 0;
        foreach (string part in readme.Split("](").Skip(1))
        {
            string target = part[..part.IndexOf(')', StringComparison.Ordinal)];
            if (target.Contains("://", StringComparison.Ordinal) || target.StartsWith('#')) continue;
            Assert.True(Path.Exists(Path.Combine(Repository.Root, target)), $"README.md links {target}, which does not exist.");
            numLinks++;
        }
        Assert.True(numLinks > 0);
    }

    [Fact]
    public void Every_command_of_the_tool_is_in_the_readme()
    {
        string readme = Repository.Read("README.md");
        foreach (string file in Directory.GetFiles(Path.Combine(Repository.Root, "src", "Hydragen.Cli", "Commands"), "*Command.cs"))
        {
            string verb = Path.GetFileNameWithoutExtension(file).Replace("Command", "", StringComparison.Ordinal).ToLowerInvariant();
            Assert.Contains($"`{verb}`", readme, StringComparison.Ordinal);
        }
    }

    private static string[] Lines(string text) => [.. text.Split('\n').Select(line => line.Split(" #")[0].Trim())];
}
