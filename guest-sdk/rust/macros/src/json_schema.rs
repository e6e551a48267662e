//! `#[derive(JsonSchema)]` without a dependency on schemars.
//!
//! The code that the derive of schemars generates finds its crate by the name
//! `schemars`, which only `#[schemars(crate = "..")]` on the type can change, and
//! a derive can't add attributes to its type. So this macro makes a copy of the
//! type with the attribute, lets schemars derive the schema of the copy, and
//! returns that schema. The copy is never constructed.

use proc_macro2::TokenStream;
use quote::quote;
use syn::{Attribute, Data, DeriveInput, Field, GenericParam, Result};

pub(crate) fn expand(item: TokenStream) -> Result<TokenStream> {
    let mut copy: DeriveInput = syn::parse2(item)?;
    keep_helpers(&mut copy.attrs);
    each_field(&mut copy.data, |field| keep_helpers(&mut field.attrs));
    if let Data::Enum(data) = &mut copy.data {
        data.variants.iter_mut().for_each(|variant| keep_helpers(&mut variant.attrs));
    }

    let name = &copy.ident;
    let (impl_generics, type_generics, where_clause) = copy.generics.split_for_impl();
    let bounds = (!copy.generics.params.is_empty()).then(|| {
        let bounds = where_clause.map(|clause| &clause.predicates);
        quote! { where #name #type_generics: __schemars::JsonSchema, #bounds }
    });
    let parameters = copy.generics.params.iter().map(without_bounds);
    let default = container_default(&copy.attrs).then(|| {
        quote! {
            // schemars takes the fields' defaults from `Self::default()`.
            impl #impl_generics #name #type_generics #where_clause {
                fn default() -> __Original #type_generics {
                    ::core::default::Default::default()
                }
            }
        }
    });

    Ok(quote! {
        #[allow(dead_code, type_alias_bounds, clippy::all)]
        const _: () = {
            // The name outside of the inner block, in which the copy has the same
            // name.
            type __Original<#(#parameters),*> = #name #type_generics;

            const _: () = {
                use ::streamtask_sdk::__private::schemars as __schemars;

                #[derive(__schemars::JsonSchema)]
                #[schemars(crate = "::streamtask_sdk::__private::schemars")]
                #copy

                #default

                impl #impl_generics __schemars::JsonSchema for __Original #type_generics #bounds {
                    fn inline_schema() -> bool {
                        <#name #type_generics as __schemars::JsonSchema>::inline_schema()
                    }

                    fn schema_name() -> ::std::borrow::Cow<'static, str> {
                        <#name #type_generics as __schemars::JsonSchema>::schema_name()
                    }

                    fn schema_id() -> ::std::borrow::Cow<'static, str> {
                        <#name #type_generics as __schemars::JsonSchema>::schema_id()
                    }

                    fn json_schema(generator: &mut __schemars::SchemaGenerator) -> __schemars::Schema {
                        <#name #type_generics as __schemars::JsonSchema>::json_schema(generator)
                    }
                }
            };
        };
    })
}

/// Drops the attributes that schemars does not read, such as those of other
/// derives, which would be unknown on the copy.
fn keep_helpers(attributes: &mut Vec<Attribute>) {
    const READ: [&str; 6] = ["doc", "serde", "schemars", "validate", "garde", "deprecated"];
    attributes.retain(|attribute| READ.iter().any(|name| attribute.path().is_ident(name)));
}

fn each_field(data: &mut Data, f: impl FnMut(&mut Field)) {
    match data {
        Data::Struct(data) => data.fields.iter_mut().for_each(f),
        Data::Enum(data) => data.variants.iter_mut().flat_map(|variant| &mut variant.fields).for_each(f),
        Data::Union(data) => data.fields.named.iter_mut().for_each(f),
    }
}

/// `T: Bound = Default` as `T`, for a type alias.
fn without_bounds(parameter: &GenericParam) -> TokenStream {
    match parameter {
        GenericParam::Type(parameter) => {
            let name = &parameter.ident;
            quote! { #name }
        }
        GenericParam::Lifetime(parameter) => {
            let name = &parameter.lifetime;
            quote! { #name }
        }
        GenericParam::Const(parameter) => {
            let (name, ty) = (&parameter.ident, &parameter.ty);
            quote! { const #name: #ty }
        }
    }
}

/// Whether the type itself has `#[serde(default)]` without a path.
fn container_default(attributes: &[Attribute]) -> bool {
    let mut found = false;
    for attribute in attributes.iter().filter(|attribute| !attribute.path().is_ident("doc")) {
        // schemars and serde report errors in the attribute.
        let _ = attribute.parse_nested_meta(|meta| {
            if meta.input.peek(syn::Token![=]) {
                meta.value()?.parse::<syn::Expr>()?;
            } else if meta.input.peek(syn::token::Paren) {
                let content;
                syn::parenthesized!(content in meta.input);
                content.parse::<TokenStream>()?;
            } else {
                found |= meta.path.is_ident("default");
            }
            Ok(())
        });
    }
    found
}
