using Hydragen.Cli.Input;

namespace Hydragen.Cli.Tests;

public sealed class OutputFileTests
{
    /// <summary>Asks the check alone: a command that failed it would replace the device.</summary>
    [Theory]
    [InlineData("/dev/null")]
    [InlineData("/dev/zero")]
    [InlineData("/dev/../dev/null")]
    public void A_device_is_no_output_file(string path)
    {
        if (OperatingSystem.IsWindows()) Assert.Skip("There are no device files.");
        InputException exception = Assert.Throws<InputException>(() => InputFile.CheckOutput(path));
        Assert.Contains("device", exception.Message, StringComparison.Ordinal);
    }
}
