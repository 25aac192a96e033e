using System.CommandLine;
using System.CommandLine.Help;
using System.CommandLine.Invocation;

namespace Hydragen.Cli.Commands;

/// <summary>The usual help, followed by what a command reads and prints.</summary>
internal sealed class HelpWithDetails(SynchronousCommandLineAction usual) : SynchronousCommandLineAction
{
    public static void AddTo(RootCommand root)
    {
        HelpOption help = root.Options.OfType<HelpOption>().Single();
        help.Action = new HelpWithDetails((SynchronousCommandLineAction)help.Action!);
    }

    /// <summary>Help is given whatever else is wrong.</summary>
    public override bool ClearsParseErrors => true;

    public override int Invoke(ParseResult parseResult)
    {
        int code = usual.Invoke(parseResult);
        TextWriter output = parseResult.InvocationConfiguration.Output;
        if (parseResult.CommandResult.Command is Verb verb) output.WriteLine(verb.Details);
        output.Flush();
        return code;
    }
}
