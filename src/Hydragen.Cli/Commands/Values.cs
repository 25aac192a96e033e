using System.CommandLine;
using System.CommandLine.Parsing;
using System.Globalization;
using System.Numerics;

namespace Hydragen.Cli.Commands;

/// <summary>Options whose values are checked while the command line is parsed, so that a mistake names the option and costs no time.</summary>
internal static class Values
{
    /// <summary>A whole number of a range.</summary>
    public static Option<T> Integer<T>(string name, string description, T defaultValue, T min, T max) where T : struct, IBinaryInteger<T>, IMinMaxValue<T> =>
        new(name)
        {
            Description = description,
            DefaultValueFactory = _ => defaultValue,
            CustomParser = result => ParseInteger(result, name, min, max),
        };

    /// <summary>A whole number of a range, or null when the option is not given.</summary>
    public static Option<T?> OptionalInteger<T>(string name, string description, T min, T max) where T : struct, IBinaryInteger<T>, IMinMaxValue<T> =>
        new(name) { Description = description, CustomParser = result => ParseInteger(result, name, min, max) };

    /// <summary>A finite number for which <paramref name="isValid"/> holds.</summary>
    /// <param name="name">The option.</param>
    /// <param name="description">For the help.</param>
    /// <param name="defaultValue">The value when the option is not given.</param>
    /// <param name="isValid">The rule.</param>
    /// <param name="rule">The rule in words, after "must be a number".</param>
    public static Option<float> Number(string name, string description, float defaultValue, Func<float, bool> isValid, string rule) => new(name)
    {
        Description = description,
        DefaultValueFactory = _ => defaultValue,
        CustomParser = result =>
        {
            string text = result.Tokens[0].Value;
            if (!float.TryParse(text, NumberStyles.Float, CultureInfo.InvariantCulture, out float value) || !float.IsFinite(value) || !isValid(value))
                result.AddError($"{name} must be a number{rule}, not '{text}'");
            return value;
        },
    };

    /// <summary>One of some words.</summary>
    public static Option<string> Choice(string name, string description, string defaultValue, params string[] words)
    {
        var option = new Option<string>(name)
        {
            Description = description,
            HelpName = string.Join('|', words),
            DefaultValueFactory = _ => defaultValue,
            CustomParser = result =>
            {
                string text = result.Tokens[0].Value;
                if (!words.Contains(text)) result.AddError($"{name} must be {string.Join(", ", words[..^1])} or {words[^1]}, not '{text}'");
                return text;
            },
        };
        option.CompletionSources.Add(words);
        return option;
    }

    private static T ParseInteger<T>(ArgumentResult result, string name, T min, T max) where T : struct, IBinaryInteger<T>, IMinMaxValue<T>
    {
        string text = result.Tokens[0].Value;
        string rule = max == T.MaxValue ? $"{min} or more" : $"from {min} to {max}";
        if (!T.TryParse(text, NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out T value) || value < min || value > max)
            result.AddError($"{name} must be a whole number {rule}, not '{text}'");
        return value;
    }
}
