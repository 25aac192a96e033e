using Hydragen.Engine;

namespace Hydragen.Cli.Demo;

/// <summary>All questions answered in one mode.</summary>
/// <param name="Statistics">What it cost.</param>
/// <param name="Answers">The answers, in the order of the questions.</param>
internal sealed record DemoRun(GenerationStatistics Statistics, IReadOnlyList<string> Answers);
