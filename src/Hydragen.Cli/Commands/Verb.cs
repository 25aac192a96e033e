using System.CommandLine;

namespace Hydragen.Cli.Commands;

/// <summary>A command of the command line.</summary>
/// <param name="name">The word to type.</param>
/// <param name="summary">One short line, for the list of commands.</param>
/// <param name="details">What the command reads and prints, for its own help.</param>
internal sealed class Verb(string name, string summary, string details) : Command(name, summary)
{
    public string Details { get; } = details;
}
