namespace Hydragen.Models;

/// <summary>
/// Reads rotary parameters in the old form (<c>rope_theta</c>, <c>rope_scaling</c>) and the new one (<c>rope_parameters</c>).
/// </summary>
internal static class RotaryReader
{
    private const double DefaultTheta = 10_000;

    public static RotaryParameters Read(JsonFields config, Architecture architecture, int headDim, int maxPositions)
    {
        JsonFields? oldForm = config.Object("rope_scaling");
        JsonFields? newForm = config.Object("rope_parameters");
        if (oldForm is not null && newForm is not null) throw config.Error("rope_scaling", "and 'rope_parameters' are both set; one of them is enough");
        JsonFields? fields = newForm ?? oldForm;

        double theta = Agree(config, fields, "rope_theta") ?? DefaultTheta;
        if (theta <= 1) throw config.Error("rope_theta", $"must be greater than 1, but is {theta}");
        int rotaryDim = headDim;
        double part = Agree(config, fields, "partial_rotary_factor") ?? 1;
        if (part != 1)
        {
            rotaryDim = (int)Math.Min(headDim * part, headDim + 1.0);
            if (!architecture.HasPartialRotary) throw config.Error("partial_rotary_factor", $"is {part}, but {architecture.Name} rotates whole heads");
            if (rotaryDim > headDim || rotaryDim < 2 || rotaryDim % 2 != 0)
                throw config.Error("partial_rotary_factor", $"rotates {rotaryDim} of {headDim} elements of a head; an even number from 2 to {headDim} is needed");
        }
        var parameters = new RotaryParameters { Theta = theta, RotaryDim = rotaryDim, OriginalMaxPositions = maxPositions };
        int? outerOriginal = config.Integer("original_max_position_embeddings", 1, 1 << 30);
        if (fields is null) return parameters;

        string type = fields.Text("rope_type") ?? fields.Text("type") ?? "default";
        if (fields.Text("type") is string oldType && oldType != type) throw fields.Error("type", $"is '{oldType}', but rope_type is '{type}'");
        fields.Ignore("finetuned");
        int? original = fields.Integer("original_max_position_embeddings", 1, 1 << 30);
        parameters = type switch
        {
            "default" => parameters,
            "linear" => parameters with { Scaling = RotaryScaling.Linear, Factor = ReadFactor(fields) },
            "dynamic" => ReadDynamic(fields, parameters, original),
            "llama3" => ReadLlama3(fields, parameters, Agree(fields, original, outerOriginal)),
            "yarn" => ReadYarn(fields, parameters, Agree(fields, original, outerOriginal), maxPositions),
            _ => throw fields.Error("rope_type", $"is '{type}', which is not supported; supported are default, linear, dynamic, llama3 and yarn"),
        };
        foreach (string name in fields.UnreadNames())
        {
            if (fields.Has(name)) throw fields.Error(name, $"is not understood for the rotary type '{type}'");
        }
        return parameters;
    }

    /// <summary>
    /// The longest sequence: linear, dynamic and YaRN scaling stretch the original context by their factor; for Llama 3 the
    /// configured maximum already is the stretched one. vLLM follows the same rule.
    /// </summary>
    public static int ContextLength(RotaryParameters rotary, int maxPositions)
    {
        double length = rotary.Scaling switch
        {
            RotaryScaling.Linear or RotaryScaling.Dynamic => maxPositions * rotary.Factor,
            RotaryScaling.Yarn => rotary.OriginalMaxPositions * rotary.Factor,
            _ => maxPositions,
        };
        return (int)Math.Min(length, 1 << 30);
    }

    private static RotaryParameters ReadDynamic(JsonFields fields, RotaryParameters parameters, int? original)
    {
        if (parameters.RotaryDim == 2) throw fields.Error("rope_type", "'dynamic' needs at least 4 rotated elements of a head");
        if (original is int length && length != parameters.OriginalMaxPositions)
        {
            throw fields.Error("original_max_position_embeddings",
                $"is {length}, but dynamic scaling starts from max_position_embeddings, which is {parameters.OriginalMaxPositions}");
        }
        return parameters with { Scaling = RotaryScaling.Dynamic, Factor = ReadFactor(fields) };
    }

    private static int? Agree(JsonFields fields, int? original, int? outer) => original is null || outer is null || original == outer
        ? original ?? outer
        : throw fields.Error("original_max_position_embeddings", $"is {original}, but {outer} at the top");

    private static RotaryParameters ReadLlama3(JsonFields fields, RotaryParameters parameters, int? original)
    {
        double low = fields.PositiveNumber("low_freq_factor") ?? throw fields.Error("low_freq_factor", "is missing");
        double high = fields.PositiveNumber("high_freq_factor") ?? throw fields.Error("high_freq_factor", "is missing");
        if (high <= low) throw fields.Error("high_freq_factor", $"must be greater than low_freq_factor ({low}), but is {high}");
        return parameters with
        {
            Scaling = RotaryScaling.Llama3,
            Factor = ReadFactor(fields),
            LowFrequencyFactor = low,
            HighFrequencyFactor = high,
            OriginalMaxPositions = original ?? throw fields.Error("original_max_position_embeddings", "is missing"),
        };
    }

    private static RotaryParameters ReadYarn(JsonFields fields, RotaryParameters parameters, int? original, int maxPositions)
    {
        double factor = fields.Has("factor") ? ReadFactor(fields)
            : original is int length ? (double)maxPositions / length
            : throw fields.Error("factor", "is missing");
        double? mscale = fields.Number("mscale");
        double? mscaleAllDim = fields.Number("mscale_all_dim");
        double magnitude = mscale is not (null or 0) && mscaleAllDim is not (null or 0)
            ? Magnitude(factor, mscale.Value) / Magnitude(factor, mscaleAllDim.Value)
            : Magnitude(factor, 1);
        return parameters with
        {
            Scaling = RotaryScaling.Yarn,
            Factor = factor,
            OriginalMaxPositions = original ?? maxPositions,
            BetaFast = fields.PositiveNumber("beta_fast") ?? 32,
            BetaSlow = fields.PositiveNumber("beta_slow") ?? 1,
            IsRampTruncated = fields.Boolean("truncate") ?? true,
            Magnitude = fields.PositiveNumber("attention_factor") ?? magnitude,
        };
    }

    private static double Magnitude(double factor, double slope) => factor <= 1 ? 1 : 0.1 * slope * Math.Log(factor) + 1;

    private static double ReadFactor(JsonFields fields)
    {
        double factor = fields.PositiveNumber("factor") ?? throw fields.Error("factor", "is missing");
        return factor >= 1 ? factor : throw fields.Error("factor", $"must be at least 1, but is {factor}");
    }

    /// <summary>A number that may stand beside the rotary object, inside it, or in both places with the same value.</summary>
    private static double? Agree(JsonFields config, JsonFields? fields, string name)
    {
        double? outer = config.PositiveNumber(name);
        double? inner = fields?.PositiveNumber(name);
        if (outer is not null && inner is not null && outer != inner) throw config.Error(name, $"is {outer} at the top, but {inner} among the rotary parameters");
        return inner ?? outer;
    }
}
