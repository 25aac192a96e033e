using System.Globalization;
using System.Text.RegularExpressions;

namespace Hydragen.Cuda;

/// <summary>What a compiled kernel takes, as the assembler reports it.</summary>
/// <param name="NumRegisters">Registers of a thread.</param>
/// <param name="StackBytes">Local memory of a thread for arrays and spills.</param>
/// <param name="SpillBytes">Bytes stored and loaded because registers did not suffice.</param>
/// <param name="Warnings">Lines of the log that warn, such as C7508 (setmaxnreg ignored) and C7510 (wgmma serialised).</param>
internal sealed partial record ResourceUsage(int NumRegisters, int StackBytes, int SpillBytes, IReadOnlyList<string> Warnings)
{
    /// <summary>Reads a compilation log with the assembler's <c>-v</c> lines.</summary>
    /// <exception cref="FormatException">The log has no such line.</exception>
    public static ResourceUsage Parse(string log)
    {
        Match registers = Registers().Match(log);
        if (!registers.Success) throw new FormatException($"The compilation log does not tell the registers: {log}");
        Match memory = Memory().Match(log);
        string[] warnings = [.. log.Split('\n').Where(line => line.Contains("warning", StringComparison.OrdinalIgnoreCase) || Advisory().IsMatch(line))];
        return new ResourceUsage(Number(registers, 1), Number(memory, 1), Number(memory, 2) + Number(memory, 3), warnings);
    }

    private static int Number(Match match, int group) => match.Success ? int.Parse(match.Groups[group].ValueSpan, CultureInfo.InvariantCulture) : 0;

    [GeneratedRegex(@"Used (\d+) registers")]
    private static partial Regex Registers();

    [GeneratedRegex(@"(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads")]
    private static partial Regex Memory();

    [GeneratedRegex(@"\bC75\d\d\b")]
    private static partial Regex Advisory();
}
