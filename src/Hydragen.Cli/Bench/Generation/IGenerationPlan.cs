using System.Text.Json;

namespace Hydragen.Cli.Bench;

/// <summary>What was asked of a protocol, before there is a model.</summary>
internal interface IGenerationPlan
{
    /// <summary>Tokens of the longest sequence; null when the model decides.</summary>
    int? ContextLength { get; }

    /// <summary>The most sequences that are decoded at once.</summary>
    int MaxSequences { get; }

    /// <summary>Names of modes that the protocol can measure; the first ones unless others are asked for.</summary>
    IReadOnlyList<string> Modes { get; }

    /// <summary>How many of <see cref="Modes"/> are measured unless others are asked for.</summary>
    int NumDefaultModes { get; }

    /// <summary>Writes what rows depend on besides the model; what tells rows apart does not belong to it.</summary>
    void WriteSettings(Utf8JsonWriter json);

    /// <summary>Gets ready to measure.</summary>
    /// <exception cref="InputException">The model does not go with it.</exception>
    IGenerationProtocol Create(GenerationContext context);
}
