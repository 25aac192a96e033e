using System.CommandLine;
using Hydragen.Core;
using Hydragen.Engine;

namespace Hydragen.Cli.Commands;

/// <summary>The options of generation; the defaults are those of the library.</summary>
internal sealed class SamplingArguments
{
    private static readonly GenerationOptions Defaults = new();

    private readonly Option<int> _maxNewTokens = Make("--max-new-tokens", "The most new tokens of a completion.", Defaults.MaxNewTokens);
    private readonly Option<float> _temperature = Make("--temperature", "Divides the logits; 0 is greedy.", Defaults.Sampling.Temperature);
    private readonly Option<int> _topK = Make("--top-k", "Keep the k most probable tokens; 0 keeps all.", Defaults.Sampling.TopK);
    private readonly Option<float> _topP = Make("--top-p", "Keep the most probable tokens that reach this probability together.", Defaults.Sampling.TopP);
    private readonly Option<float> _minP = Make("--min-p", "Keep tokens at least this fraction as probable as the best.", Defaults.Sampling.MinP);
    private readonly Option<float> _repetitionPenalty = Make("--repetition-penalty", "Above 1, makes tokens that occurred less probable.", Defaults.Sampling.RepetitionPenalty);
    private readonly Option<float> _frequencyPenalty = Make("--frequency-penalty", "Subtracted from a logit for each time that its token was generated.", Defaults.Sampling.FrequencyPenalty);
    private readonly Option<float> _presencePenalty = Make("--presence-penalty", "Subtracted from the logits of tokens that were generated.", Defaults.Sampling.PresencePenalty);
    private readonly Option<ulong?> _seed = new("--seed") { Description = "Makes samples reproducible." };
    private readonly Option<string[]> _stop = new("--stop") { Description = "Ends a completion at this string; repeatable.", DefaultValueFactory = _ => [] };
    private readonly Option<bool> _ignoreEos = new("--ignore-eos") { Description = "Go on after end-of-sequence tokens." };
    private readonly Option<bool> _logProbabilities = new("--logprobs") { Description = "Report the log-probability of each new token." };
    private readonly Option<string> _sharing = MakeSharing();
    private readonly Option<int> _minSharedTokens = Make("--min-shared-tokens", "Flat prompts share a common prefix of at least so many tokens.", Defaults.MinSharedTokens);

    public SamplingArguments(Command command)
    {
        foreach (Option option in (Option[])[
            _maxNewTokens, _temperature, _topK, _topP, _minP, _repetitionPenalty, _frequencyPenalty, _presencePenalty, _seed, _stop,
            _ignoreEos, _logProbabilities, _sharing, _minSharedTokens])
        {
            command.Options.Add(option);
        }
    }

    /// <summary>An option that takes the name of a mode that computes the right result.</summary>
    public static Option<string> MakeSharing()
    {
        var option = new Option<string>("--sharing")
        {
            Description = "hydragen: shared prefixes are stored and read once; paged: stored once, read by each sequence; copied: each sequence has its own.",
            DefaultValueFactory = _ => "hydragen",
        };
        option.AcceptOnlyFromAmong("hydragen", "paged", "copied");
        return option;
    }

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

    private static Option<T> Make<T>(string name, string description, T defaultValue) =>
        new(name) { Description = description, DefaultValueFactory = _ => defaultValue };
}
