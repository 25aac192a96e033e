using System.CommandLine;
using Hydragen.Core;
using Hydragen.Engine;

namespace Hydragen.Cli.Commands;

/// <summary>The options of generation; the defaults are those of the library.</summary>
internal sealed class SamplingArguments
{
    /// <summary>The most completions of one call; each costs memory before the first token.</summary>
    public const int MaxSamples = 1_000_000;

    private static readonly GenerationOptions Defaults = new();

    private readonly Option<int> _maxNewTokens = MakeMaxNewTokens(Defaults.MaxNewTokens);
    private readonly Option<int> _samples = Values.Integer("--samples", "Completions of each prompt.", Defaults.SamplesPerPrompt, 1, MaxSamples);
    private readonly Option<float> _temperature = Values.Number(
        "--temperature", "Divides the logits; 0 is greedy.", Defaults.Sampling.Temperature, value => value >= 0, ", 0 or more");
    private readonly Option<int> _topK = Values.Integer("--top-k", "Keep the k most probable tokens; 0 keeps all.", Defaults.Sampling.TopK, 0, int.MaxValue);
    private readonly Option<float> _topP = Values.Number(
        "--top-p", "Keep the most probable tokens that reach this probability together.", Defaults.Sampling.TopP,
        value => value is > 0 and <= 1, " above 0 and at most 1");
    private readonly Option<float> _minP = Values.Number(
        "--min-p", "Keep tokens at least this fraction as probable as the best.", Defaults.Sampling.MinP, value => value is >= 0 and <= 1, " from 0 to 1");
    private readonly Option<float> _repetitionPenalty = Values.Number(
        "--repetition-penalty", "Above 1, makes tokens that occurred less probable.", Defaults.Sampling.RepetitionPenalty, value => value > 0, " above 0");
    private readonly Option<float> _frequencyPenalty = Values.Number(
        "--frequency-penalty", "Subtracted from a logit for each time that its token was generated.", Defaults.Sampling.FrequencyPenalty, _ => true, "");
    private readonly Option<float> _presencePenalty = Values.Number(
        "--presence-penalty", "Subtracted from the logits of tokens that were generated.", Defaults.Sampling.PresencePenalty, _ => true, "");
    private readonly Option<ulong?> _seed = Values.OptionalInteger("--seed", "Makes samples reproducible.", 0UL, ulong.MaxValue);
    private readonly Option<string[]> _stop = new("--stop") { Description = "Ends a completion at this string; repeatable.", DefaultValueFactory = _ => [] };
    private readonly Option<bool> _ignoreEos = new("--ignore-eos") { Description = "Go on after end-of-sequence tokens." };
    private readonly Option<bool> _logProbabilities = new("--logprobs") { Description = "Report the log-probability of each new token." };
    private readonly Option<string> _sharing = MakeSharing();
    private readonly Option<int> _minSharedTokens = Values.Integer(
        "--min-shared-tokens", "Flat prompts share a common prefix of at least so many tokens.", Defaults.MinSharedTokens, 1, int.MaxValue);

    public SamplingArguments(Command command)
    {
        foreach (Option option in (Option[])[
            _maxNewTokens, _samples, _temperature, _topK, _topP, _minP, _repetitionPenalty, _frequencyPenalty, _presencePenalty, _seed, _stop,
            _ignoreEos, _logProbabilities, _sharing, _minSharedTokens])
        {
            command.Options.Add(option);
        }
    }

    public static Option<int> MakeMaxNewTokens(int defaultValue) =>
        Values.Integer("--max-new-tokens", "The most new tokens of a completion.", defaultValue, 1, int.MaxValue);

    /// <summary>An option that takes the name of a mode that computes the right result.</summary>
    public static Option<string> MakeSharing() => Values.Choice(
        "--sharing", "hydragen: shared prefixes are stored and read once; paged: stored once, read by each sequence; copied: each sequence has its own.",
        "hydragen", "hydragen", "paged", "copied");

    public static SharingMode ParseSharing(string? name) => name switch
    {
        "paged" => SharingMode.Paged,
        "copied" => SharingMode.Copied,
        _ => SharingMode.Hydragen,
    };

    /// <summary>The options as given, checked.</summary>
    public GenerationOptions Read(ParseResult parsed)
    {
        var options = new GenerationOptions
        {
            MaxNewTokens = parsed.GetValue(_maxNewTokens),
            SamplesPerPrompt = parsed.GetValue(_samples),
            Sampling = new SamplingOptions
            {
                Temperature = parsed.GetValue(_temperature),
                TopK = parsed.GetValue(_topK),
                TopP = parsed.GetValue(_topP),
                MinP = parsed.GetValue(_minP),
                RepetitionPenalty = parsed.GetValue(_repetitionPenalty),
                FrequencyPenalty = parsed.GetValue(_frequencyPenalty),
                PresencePenalty = parsed.GetValue(_presencePenalty),
            },
            Seed = parsed.GetValue(_seed),
            StopStrings = parsed.GetValue(_stop)!,
            IgnoreEos = parsed.GetValue(_ignoreEos),
            LogProbabilities = parsed.GetValue(_logProbabilities),
            Sharing = ParseSharing(parsed.GetValue(_sharing)),
            MinSharedTokens = parsed.GetValue(_minSharedTokens),
        };
        options.Validate();
        return options;
    }
}
